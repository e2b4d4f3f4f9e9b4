"""The words of the house: what the rooms hand to each other. numpy only."""
