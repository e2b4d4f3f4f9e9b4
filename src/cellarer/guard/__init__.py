"""The second opinion with the last gate. Standard library only; imports nothing of the rest of Cellarer."""
