"""What the pure rooms may import and call. The order of the rooms is import-linter's matter (pyproject.toml)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "cellarer"

# No clock, file, log, environment or random number: the same input gives the same output, live and in replay.
WORLD = {
    "asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time", "uuid", "warnings",
}  # fmt: skip
WORLD_CALLS = {"open", "print", "input", "breakpoint", "eval", "exec"}

# Where a pure room may still look outside, with the reason.
EXCEPTIONS: dict[tuple[str, str], str] = {}

# What each room may import beside the standard library.
ALLOWED = {
    "model": {"numpy", "cellarer.model"},
    "core": {"numpy", "numba", "cellarer.model", "cellarer.core"},
    "guard": {"cellarer.guard"},
}

# These skip an unknown value, and protection must not: unknown is unsafe.
BLIND_TO_NAN = {"nanmin", "nanmax", "fmin", "fmax", "nanargmin", "nanargmax", "nan_to_num"}


def files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """Yield the full name of every imported module; for `from a import b` both a and a.b."""
    package = ("cellarer", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def faults(room: str, path: Path, source: str) -> Iterator[str]:
    """Yield what a file of a pure room imports or calls and must not."""
    tree = ast.parse(source)
    name = path.relative_to(PACKAGE).as_posix()
    for module in imports(tree, path):
        top = module.split(".")[0]
        allowed = any(module == a or module.startswith(a + ".") or a.startswith(module + ".") for a in ALLOWED[room])
        if not allowed and top not in sys.stdlib_module_names:
            yield f"{name} imports {module}"
        if room != "guard" and top in WORLD and (name, top) not in EXCEPTIONS:
            yield f"{name} imports {module}"
        if module.startswith("numpy.random"):
            yield f"{name} imports {module}"
    if room == "guard":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORLD_CALLS:
            yield f"{name}:{node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute) and node.attr == "random":
            yield f"{name}:{node.lineno} uses {node.attr}"


def blind(source: str) -> list[str]:
    """Return the functions used in a source that do not see NaN."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.name for node in nodes if isinstance(node, ast.alias)}
    return sorted(names & BLIND_TO_NAN)


@pytest.mark.parametrize("room", ALLOWED)
def test_pure_rooms_touch_nothing_outside(room: str) -> None:
    assert [fault for path in files(room) for fault in faults(room, path, path.read_text(encoding="utf-8"))] == []


def test_decisions_see_unknown_values() -> None:
    found = {path.name: blind(path.read_text(encoding="utf-8")) for path in files("core/decide")}
    assert {name: names for name, names in found.items() if names} == {}


def test_only_runtime_starts_the_guard() -> None:
    paths = [p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] not in ("runtime", "guard")]
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in paths
        if any(
            module == "cellarer.guard" or module.startswith("cellarer.guard.")
            for module in imports(ast.parse(path.read_text(encoding="utf-8")), path)
        )
    ]
    assert users == []


def test_every_folder_is_a_package() -> None:
    """A folder without __init__.py would escape the import checks."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(f.relative_to(PACKAGE)) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "from os import environ",
        "import scipy",
        "from ..wire import links",
        "from cellarer import cells",
        "print(1)",
        "np.random.rand()",
    ],
)
def test_the_check_itself_finds(line: str) -> None:
    assert list(faults("core", PACKAGE / "core" / "example.py", line))


@pytest.mark.parametrize(
    "line", ["import numba", "from ..model import Layout", "from cellarer.model import x", "import math"]
)
def test_the_check_itself_allows(line: str) -> None:
    assert not list(faults("core", PACKAGE / "core" / "example.py", line))


def test_the_check_itself_sees_blind_functions() -> None:
    assert blind("import numpy as np\nnp.nanmin(x)\nfrom numpy import fmax") == ["fmax", "nanmin"]
