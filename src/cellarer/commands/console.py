"""How commands speak: one line of JSON on stdout or a text for people, progress on stderr, and mistakes."""

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

Progress = Callable[[float], None]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout, nothing else.")
LINE_S = 60.0  # between two lines of progress where there is no terminal
FILE = click.Path(path_type=Path)


class Mistake(ValueError):
    """What the user asked for cannot be done. The text says what, why and what to do."""


def emit(values: Mapping[str, object]) -> None:
    """Print one line of JSON. Unknown (NaN) becomes null."""
    click.echo(json.dumps(_known(values), ensure_ascii=False, allow_nan=False))


def say(text: str) -> None:
    """Tell a person something on stderr, where it disturbs no pipe."""
    click.echo(text, err=True)


def paragraph(text: str) -> None:
    """Print a text on stdout, wrapped to the width of the terminal."""
    click.echo(textwrap.fill(text, _width(), subsequent_indent="  ", break_on_hyphens=False))


def _width() -> int:
    return max(shutil.get_terminal_size((100, 24)).columns, 60)


def pairs(values: Mapping[str, str]) -> None:
    """Print names and values on stdout, values aligned and wrapped to the width of the terminal."""
    left = max(map(len, values), default=0) + 2
    width = max(_width(), left + 30)
    for name, value in values.items():
        click.echo(textwrap.fill(value, width, initial_indent=f"{name:<{left}}", subsequent_indent=" " * left))


def grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; columns of numbers are set right."""
    table = [list(header), *map(list, lines)]
    widths = [max(len(line[k]) for line in table) for k in range(len(header))]
    right = [
        all(line[k][:1].lstrip("-").isdigit() or line[k] in ("", "-") for line in lines) for k in range(len(header))
    ]
    for line in table:
        fields = (f"{text:>{w}}" if r else f"{text:<{w}}" for text, w, r in zip(line, widths, right, strict=True))
        click.echo("  ".join(fields).rstrip())


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Show a bar on stderr while a fraction 0…1 is reported to the function that this yields.

    Without a terminal it is a line a minute: a log shows that long work goes on, short work says nothing.
    """
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


def _lines(label: str) -> Progress:
    said_s = time.monotonic()

    def tell(fraction: float) -> None:
        nonlocal said_s
        if (now_s := time.monotonic()) - said_s >= LINE_S:
            said_s = now_s
            say(f"{label}: {100.0 * fraction:.0f} %")

    return tell


def can_write(out: Path | None, report: Path | None) -> None:
    """Raise Mistake now, before the long work, if a file or a report could not be written."""
    if out is not None and out.suffix.lower() == ".parquet":
        need("parquet", "pyarrow")
    if report is not None:
        need("report", "matplotlib", "jinja2")
    for name, path in (("out", out), ("report", report)):
        if path is not None:
            _can_write_file(f"--{name} = {path}", path)


def _can_write_file(what: str, path: Path) -> None:
    """Raise Mistake if this file could not be written: open it, for rights alone do not tell."""
    try:
        if not path.parent.is_dir():
            raise Mistake(f"{what}: the folder {path.parent} does not exist")
        if path.is_dir():
            raise Mistake(f"{what}: is a folder; name a file in it")
        there = path.exists()
        if not there or path.is_file():  # a pipe would take our closing for its end
            path.open("ab").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise cannot_write(what, error) from None


def cannot_write(what: str, error: OSError) -> Mistake:
    """Return the mistake that a file cannot be written."""
    return Mistake(f"{what}: cannot be written: {error.strerror or error}")


def can_write_table(out: Path | None, report: Path | None) -> None:
    """The same for a command whose `--out` is a table."""
    if out is not None and out.suffix.lower() not in (".parquet", ".csv"):
        raise Mistake(f"--out = {out}: the name must end in .parquet or .csv")
    can_write(out, report)


def check_seed(seed: int | None) -> None:
    """Raise Mistake if a seed is none that can be drawn from and told."""
    from cellarer.config.schema import MOST_SEED

    if seed is not None and not 0 <= seed <= MOST_SEED:
        raise Mistake(f"--seed = {seed}: allowed is 0 to {MOST_SEED}")


def need(extra: str, *modules: str) -> None:
    """Raise Mistake if a module of an extra is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise Mistake(f"{', '.join(missing)} is not installed: pip install 'cellarer[{extra}]'")


def _known(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
