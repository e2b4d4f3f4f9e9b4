"""What Cellarer reads and drives: one generic driver for every protocol."""
