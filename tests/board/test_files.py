"""Files are whole or absent, the run folder is ours alone and in memory where there is some."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellarer.board.files import Folder, write_whole


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"one" * 100_000)
    with open(tmp_path / "x", "rb") as before:
        write_whole(tmp_path / "x", b"two", sync=False)
        assert before.read() == b"one" * 100_000
    assert (tmp_path / "x").read_bytes() == b"two"
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_run_folder_lies_in_memory_and_is_found_again(tmp_path: Path) -> None:
    memory, state = tmp_path / "memory", tmp_path / "state"
    memory.mkdir()
    folder = Folder.make(state, memory)
    (folder.path / "events").write_text("kept")
    assert folder.path.resolve().parent == memory
    assert folder.path.resolve().stat().st_mode & 0o777 == 0o700
    assert Folder.make(state, memory).path == folder.path
    assert (Folder.of(state).path / "events").read_text() == "kept"
    assert Folder.make(tmp_path / "other", memory).path.resolve() != folder.path.resolve()


def test_without_memory_it_lies_beside_the_state(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "state", tmp_path / "absent")
    assert folder.path.is_dir()
    assert not folder.path.is_symlink()
    assert Folder.make(tmp_path / "state", tmp_path).path == folder.path, "and stays there"


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    memory, state = tmp_path / "memory", tmp_path / "state"
    memory.mkdir()
    target = Folder.make(state, memory).path.resolve()
    target.chmod(0o755)
    with pytest.raises(PermissionError, match="remove it"):
        Folder.make(state, memory)
    target.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="remove it"):
        Folder.make(state, memory)


@pytest.mark.parametrize("memory", ["memory", "absent"])
def test_a_folder_is_removed_as_a_whole(tmp_path: Path, memory: str) -> None:
    (tmp_path / "memory").mkdir()
    folder = Folder.make(tmp_path / "state", tmp_path / memory)
    folder.bench.mkdir()
    (folder.bench / "bus").touch()
    folder.snapshot.touch()
    folder.remove()
    assert list((tmp_path / "state").iterdir()) == list((tmp_path / "memory").iterdir()) == []


def test_names_of_links_make_names_of_files() -> None:
    folder = Folder(Path("/x"))
    assert folder.samples("uart 1").name == "samples.uart_1"
    assert folder.pulse("link uart 1").name == "pulse.link_uart_1"
