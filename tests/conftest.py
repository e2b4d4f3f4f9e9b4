"""What every test shares: how a lacking program is shown, and how hypothesis looks for examples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings

# Shared machines are slow now and then, and a run must mean the same everywhere: no deadline, fixed examples.
# HYPOTHESIS_PROFILE=search looks for new ones.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

_LACKING = "lacking: "


def available(thing: str) -> bool:
    """Tell whether a program is on PATH or a Python module can be imported."""
    return shutil.which(thing, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None or (
        thing.isidentifier() and find_spec(thing) is not None
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Take out a test marked `needs(...)` whose needs are not met, and say so."""
    missing = [thing for mark in item.iter_markers("needs") for thing in mark.args if not available(thing)]
    if missing:
        if path := os.environ.get("CELLARER_LACKING"):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{', '.join(missing)}: needed by {item.nodeid}\n")
        pytest.skip(_LACKING + ", ".join(missing))


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count lacking tests apart from passed and skipped ones."""
    if report.skipped and isinstance(report.longrepr, tuple) and _LACKING in report.longrepr[2]:
        return "lacking", "L", "LACKING"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that did not run for want of something."""
    for report in _lacking_reports(terminalreporter):
        terminalreporter.write_line(f"LACKING {report.nodeid}: {report.longrepr[2].split(_LACKING, 1)[1]}")


def _lacking_reports(terminalreporter: pytest.TerminalReporter) -> Iterator[pytest.TestReport]:
    yield from terminalreporter.stats.get("lacking", [])
