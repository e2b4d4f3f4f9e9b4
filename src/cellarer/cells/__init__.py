"""Cell chemistries as data: one TOML file per cell, a loader that refuses contradictions, a text for people."""

from cellarer.cells.error import CellError
from cellarer.cells.loader import Cell, load, names

__all__ = ["Cell", "CellError", "load", "names"]
