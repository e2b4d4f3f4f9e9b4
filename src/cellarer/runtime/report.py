"""A report as one self-contained HTML file: figures, plots, tables, settings. The same content gives the same bytes.

Knows how a report looks, not what it says: replay, simulate and identify fill it. Needs matplotlib and jinja2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellarer import __version__


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a reader looks for first."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with text, a plot (SVG) or a table below it."""

    title: str
    text: str = ""
    svg: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What stands in a report, in order."""

    title: str
    subtitle: str
    figures: Sequence[Figure]
    warnings: Sequence[str]
    sections: Sequence[Section]


TEMPLATE = Path(__file__).with_name("report.html")


def render(report: Report) -> str:
    """Return the report as HTML that loads nothing from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(report=report, version=__version__)


def write(path: Path, report: Report) -> None:
    """Write a report whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(render(report), encoding="utf-8")
    partial.replace(path)
