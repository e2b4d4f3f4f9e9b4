"""The scripts can be started, from anywhere, and say what they do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [p for p in sorted([*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]) if p.is_file()]
SHELL = [path for path in SCRIPTS if path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env ")


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_scripts_stop_at_errors(path: Path) -> None:
    assert "\nset -euo pipefail\n" in path.read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


def test_the_usual_scripts_are_there() -> None:
    assert {"setup", "demo", "bench", "check", "test", "lock", "size", "run"} <= {path.name for path in SCRIPTS}


def test_setup_refuses_an_unknown_purpose(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "setup", "nonsense"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_setup_says_what_to_type_when_nothing_can_make_an_environment(tmp_path: Path) -> None:
    """A Debian without python3-venv, without root, sudo, uv and virtualenv."""
    checkout = tmp_path / "a checkout"
    for part in ("scripts", "requirements"):
        shutil.copytree(ROOT / part, checkout / part)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "env", "cat", "cksum", "dirname", "rm", "head", "flock"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    python = programs / "python3.11"
    python.write_text('#!/usr/bin/env bash\n[ "$1" = -c ]\n')  # new enough, and fails for everything else
    python.chmod(0o755)
    setup = (checkout / "scripts" / "setup").read_text(encoding="utf-8").replace(" /usr/bin/python3;", ";")
    (checkout / "scripts" / "setup").write_text(setup)
    done = subprocess.run(
        [checkout / "scripts" / "setup"], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "apt-get install -y python3 python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()
