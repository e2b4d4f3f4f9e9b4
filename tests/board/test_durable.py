"""A damaged copy is never taken for a good one, and one good copy is enough."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellarer.board import durable, files
from cellarer.board.durable import COPIES, HEAD, read_durable, write_durable

PAYLOAD = bytes(range(64))


def test_a_record_comes_back(tmp_path: Path) -> None:
    write_durable(tmp_path, PAYLOAD, 7, 1e9)
    kept, wrong = read_durable(tmp_path)
    assert kept is not None
    assert (kept.sequence, kept.unix_s, kept.payload, wrong) == (7, 1e9, PAYLOAD, [])
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in COPIES)


def test_nothing_stored_is_unknown(tmp_path: Path) -> None:
    kept, wrong = read_durable(tmp_path)
    assert kept is None
    assert all("missing" in text for text in wrong)


@pytest.mark.parametrize("at", range(HEAD.size + len(PAYLOAD)))
def test_damage_in_every_byte_is_noticed(tmp_path: Path, at: int) -> None:
    write_durable(tmp_path, PAYLOAD, 7, 1e9)
    for bit in (1, 128):
        for count, name in enumerate(COPIES, start=1):
            data = bytearray((tmp_path / name).read_bytes())
            data[at] ^= bit
            (tmp_path / name).write_bytes(data)
            kept, wrong = read_durable(tmp_path)
            assert len(wrong) == count
            assert (kept is None) == (count == len(COPIES))
        write_durable(tmp_path, PAYLOAD, 7, 1e9)


@pytest.mark.parametrize("length", [0, 1, HEAD.size - 1, HEAD.size, HEAD.size + len(PAYLOAD) - 1])
def test_a_cut_copy_is_noticed(tmp_path: Path, length: int) -> None:
    write_durable(tmp_path, PAYLOAD, 7, 1e9)
    for name in COPIES:
        os.truncate(tmp_path / name, length)
    assert read_durable(tmp_path)[0] is None


def test_the_newer_copy_wins(tmp_path: Path) -> None:
    write_durable(tmp_path, b"old", 1, 1.0)
    old = (tmp_path / COPIES[0]).read_bytes()
    write_durable(tmp_path, b"new", 2, 2.0)
    (tmp_path / COPIES[0]).write_bytes(old)
    kept, _ = read_durable(tmp_path)
    assert kept is not None
    assert kept.payload == b"new"


def test_power_may_fail_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever system call fails, an old or a new whole record is there afterwards."""
    write_durable(tmp_path, b"old", 1, 1.0)
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "close")}
    steps = 0

    def failing(name: str, budget: list[int]):  # type: ignore[no-untyped-def]
        def call(*args: object, **options: object) -> object:
            budget[0] -= 1
            if budget[0] == 0:
                raise OSError(28, "no space left")
            return real[name](*args, **options)

        return call

    for fail_at in range(1, 40):
        budget = [fail_at]
        with monkeypatch.context() as patch:
            for name in ("open", "write", "fsync"):
                patch.setattr(files.os, name, failing(name, budget))
            try:
                durable.write_durable(tmp_path, b"new" * 50, 1 + fail_at, 2.0)
            except OSError:
                steps += 1
        kept, _ = read_durable(tmp_path)
        assert kept is not None
        assert kept.payload in (b"old", b"new" * 50)
        if budget[0] > 0:
            assert kept.sequence == 1 + fail_at
    assert steps >= 8, "the test did reach the system calls"
