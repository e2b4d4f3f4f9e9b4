"""Cellarer, an open battery management system. Kept light on purpose: `cellarer --version` imports only this."""

__version__ = "0.1.0"
