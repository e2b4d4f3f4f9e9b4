"""docs/cli.md, CONTRIBUTING and README name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cellarer.cli import COMMANDS, cellarer

ROOT = Path(__file__).resolve().parents[2]
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "data" / "examples" / "README.md",
]


def options(name: str) -> list[str]:
    command = cellarer.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    return [option for p in command.params if isinstance(p, click.Option) for option in p.opts]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    assert f"`cellarer {name}" in CLI
    assert [option for option in options(name) if f"`{option}" not in CLI] == []


def test_no_option_is_documented_that_does_not_exist() -> None:
    known = {option for name in COMMANDS for option in options(name)} | {"--help", "--version"}
    assert set(re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", CLI)) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_examples_are_offered(page: Path) -> None:
    """Shell blocks of the pages call commands with options that exist."""
    for block in re.findall(r"^```(?:sh|console|bash)?\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split("#")[0].split()
            if words[:1] != ["cellarer"] or len(words) < 2 or words[1].startswith("-"):
                continue
            assert words[1] in COMMANDS, line
            used = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
            assert used <= {*options(words[1]), "--help"}, line


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|tests|docs|scripts|benchmarks|data)/[\w./-]+)`", text))
    assert len(named) >= 12
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
