"""The benchmarks can be started: each is imported as it stands, and refuses what it cannot measure."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks import jitter

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
FOREIGN = {"oracle_pybamm": "pybamm"}  # foreign packages that are in no requirements of ours
IMPORT = """
import importlib, json, sys
folder, *names = sys.argv[1:]
found, path = {}, [folder, *sys.path]
for name in names:
    sys.path[:] = path  # a file that adds to it does so for itself alone
    try:
        importlib.import_module(name)
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def test_every_benchmark_can_be_imported() -> None:
    """In one process apart: most of the time goes into what all of them import."""
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert {"ageing", "jitter", *FOREIGN} <= set(names)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(FOLDER), *names], capture_output=True, text=True, check=True
    )
    missing = {name: package for name, package in FOREIGN.items() if find_spec(package) is None}
    assert json.loads(done.stdout) == {
        name: f"ModuleNotFoundError: No module named '{package}'" for name, package in missing.items()
    }


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "inf"])
def test_jitter_refuses_times_that_it_cannot_measure(
    seconds: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["jitter.py", "--seconds", seconds])
    monkeypatch.setattr(jitter, "running", None)
    with pytest.raises(SystemExit, match="2"):
        jitter.main()
    assert f"error: --seconds = {seconds}: allowed is 1 to 86400" in capsys.readouterr().err
