"""A compiled Config goes through a file unchanged; nothing but our own data classes comes out of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cellarer.board.ring import BoardError
from cellarer.board.tree import decode, encode, read_config, write_config
from cellarer.model.layout import layout
from cellarer.model.values import Event, Level, Requests, Sample


def same(a: object, b: object) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype  # type: ignore[attr-defined]
        np.testing.assert_array_equal(a, b)
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)  # type: ignore[arg-type]
        for x, y in zip(a, b, strict=True):  # type: ignore[call-overload]
            same(x, y)
    elif isinstance(a, dict):
        same(list(a.items()), list(b.items()))  # type: ignore[attr-defined]
    else:
        assert a == b or (a != a and b != b)


TREES = [
    layout([16, 3], [2, 0], [1, 1]),
    Sample(np.linspace(0, 1, 6).reshape(2, 3), np.arange(5)),
    Event(5, "fault", "x", -1, 3, float("nan"), float("inf"), "because"),
    (None, True, 2**62, -1.5, "ü", Level.OPEN, [1, (2,)], {"a": np.zeros(0), "b": {1: 2}}),
]


@pytest.mark.parametrize("tree", TREES, ids=lambda t: type(t).__name__)
def test_a_tree_comes_back_as_it_was(tree: object) -> None:
    same(tree, decode(encode(tree)))


def test_the_config_of_a_shipped_site_comes_back_as_it_was(tmp_path: Path) -> None:
    config = pytest.importorskip("cellarer.config").load("home").config
    sha256 = write_config(tmp_path / "config", config)
    same(config, read_config(tmp_path / "config", sha256))
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600
    data = bytearray((tmp_path / "config").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "config").write_bytes(data)
    with pytest.raises(BoardError, match="hash"):
        read_config(tmp_path / "config", sha256)


class Stranger:
    pass


@dataclasses.dataclass
class StrangeData:
    x: int


@pytest.mark.parametrize(
    "tree", [Stranger(), StrangeData(1), Path("/"), np.array([object()]), np.array(["text"]), {1, 2}, b"x"]
)
def test_what_is_not_ours_is_not_written(tree: object) -> None:
    with pytest.raises(BoardError, match="may not stand"):
        encode(tree)


@pytest.mark.parametrize(
    "outline",
    [
        b'{"class": "os:system", "f": {}}',
        b'{"class": "cellarer.model.values:np", "f": {}}',
        b'{"class": "cellarer.model.values:dataclass", "f": {}}',
        b'{"class": "cellarer.model.values:Faults", "f": {}}',
        b'{"class": "cellarer.model.absent:X", "f": {}}',
        b'{"enum": "cellarer.model.values:Level", "v": 99}',
        b'{"enum": "cellarer.model.values:Seen", "v": 99}',
        b'{"a": "|O", "shape": [1], "at": 0}',
        b'{"a": "<f8", "shape": [9], "at": 0}',
        b'{"a": "<f8", "shape": [1], "at": -8}',
        b'{"a": "<f8", "shape": [-1], "at": 0}',
        b'{"v": {"x": 1}}',
        b"[]",
        b"nonsense",
    ],
)
def test_what_is_not_ours_is_not_built(outline: bytes) -> None:
    data = b"CELLTREE\x01\n" + len(outline).to_bytes(8, "little") + outline + bytes(16)
    with pytest.raises(BoardError):
        decode(data)


def test_every_cut_is_refused_or_noticed() -> None:
    data = encode(TREES[1])
    for length in range(0, len(data), 7):
        with pytest.raises(BoardError):
            decode(data[:length])


def test_requests_fit() -> None:
    no, unknown = np.zeros(1, bool), np.full(1, np.nan)
    tree = Requests(no, no, no, no, unknown, no, unknown, np.zeros(1, np.int64), no)
    same(tree, decode(encode(tree)))
