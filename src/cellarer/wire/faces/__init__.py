"""What machines see of Cellarer: one generic face for every protocol, made from the snapshot view alone."""
