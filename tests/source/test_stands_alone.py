"""The repository names no package index and no folder of a machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))

# Hosts are put together here, so that this file does not name them either.
NAMES = {"org": ["pypi", "pythonhosted", "registry.npmjs", "conda.anaconda"], "com": ["registry.yarnpkg"]}
HOSTS = [f"{name}.{top}" for top, names in NAMES.items() for name in names]
INDEX_ADDRESS = re.compile(r"https?://[^\s/\"']+(?:/[^\s/\"']+)*/simple\b")
MACHINE_PATH = re.compile(r"(?<![\w.}>/$-])/(?:work|root|home|Users)/[\w.-]")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text(path: Path) -> str:
    data = path.read_bytes()
    return "" if b"\0" in data[:8192] else data.decode("utf-8", errors="replace")


def configured_hosts() -> list[str]:
    """Return the hosts from which pip fetches on this machine."""
    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists():
        return []
    shown = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    hosts = {urlsplit(address).hostname for address in re.findall(r"https?://[^\s'\"]+", shown)}
    return sorted(host for host in hosts if host and host not in ("localhost", "127.0.0.1", "::1"))


def test_no_file_names_a_package_index() -> None:
    unwanted = HOSTS + configured_hosts()
    found = []
    for path in tracked():
        content = text(path)
        found += [f"{path.relative_to(ROOT)}: {host}" for host in unwanted if host in content]
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in INDEX_ADDRESS.finditer(content)]
    assert found == []


def test_no_file_names_a_folder_of_a_machine() -> None:
    found = []
    for path in tracked():
        for number, line in enumerate(text(path).splitlines(), 1):
            if match := MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert found == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_lock_files_hold_versions_and_hashes_only(path: Path) -> None:
    line_forms = re.compile(
        r"[a-z0-9][a-z0-9._-]*(\[[\w,-]+\])?==[\w.+!-]+( ; [^\\]+)?( \\)?|    --hash=sha256:[0-9a-f]{64}( \\)?"
    )
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if not line_forms.fullmatch(line)] == []


def test_both_lock_files_are_there() -> None:
    assert [path.name for path in LOCKS] == ["run.lock", "test.lock"]


@pytest.mark.parametrize("line", ["cd /work" + "/main", 'open("/home' + '/pi/x")', "PATH=/root" + "/bin"])
def test_the_check_itself_finds(line: str) -> None:
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize("line", ["GET /api/v1/work" + "/3", "https://example.org/home" + "/page"])
def test_the_check_itself_allows(line: str) -> None:
    assert not MACHINE_PATH.search(line)
