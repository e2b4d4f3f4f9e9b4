"""What the history tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cellarer.history.database import Database, Retention


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with Database(path, Retention()) as database:
        yield database
