"""One file per command of `cellarer`; `cli.py` loads a file when its command is called."""
