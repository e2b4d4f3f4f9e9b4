"""What was: time series and events of a site in one SQLite file, one writer, any number of readers."""

from cellarer.history.reader import Reader, Table
from cellarer.history.store import Health, Writer

__all__ = ["Health", "Reader", "Table", "Writer"]
