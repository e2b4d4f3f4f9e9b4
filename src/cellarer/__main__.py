"""`python -m cellarer`, where the command itself is not on the path."""

from cellarer.cli import main

main()
