"""From laboratory recordings to cell files: reading, recognising, fitting, reporting."""
