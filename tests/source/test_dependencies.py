"""Every direct dependency is documented, at the version that is locked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def direct() -> set[str]:
    groups = [PROJECT["project"]["dependencies"]]
    groups += PROJECT["project"]["optional-dependencies"].values()
    groups += PROJECT["dependency-groups"].values()
    return {re.match(r"[\w.-]+", requirement)[0] for group in groups for requirement in group}


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE):
        found.setdefault(package, []).append(version)
    return {package: " / ".join(versions) for package, versions in found.items()}


def documented() -> dict[str, str]:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    return {
        row[0]: row[-1] for row in (re.split(r" *\| *", line.strip("| ")) for line in text.splitlines() if "|" in line)
    }


def test_every_direct_dependency_has_a_line() -> None:
    assert direct() - set(documented()) == set()


def test_no_line_is_left_of_a_dependency_that_went() -> None:
    assert set(documented()) - direct() - {"package", "---"} == set()


def test_documented_versions_are_the_locked_ones() -> None:
    versions = locked("test")
    assert {name: documented()[name] for name in direct()} == {name: versions[name] for name in direct()}


def test_both_locks_agree() -> None:
    run, test = locked("run"), locked("test")
    assert {name: version for name, version in run.items() if test.get(name) != version} == {}


def test_the_build_backend_is_locked() -> None:
    needed = {re.match(r"[\w.-]+", requirement)[0] for requirement in PROJECT["build-system"]["requires"]}
    assert needed <= set(locked("run"))
