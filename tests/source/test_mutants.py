"""A mutant that is taken on lives: else every test would pass, or none would be asked, and the score say nothing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.mutants import CannotStart, Mutant, NotAlive, code_of, mutants, reload, take_on, watch

TEXT = '''
from functools import lru_cache

TABLE = [len("ab"), 5]


def made(n):
    """Return something."""
    return [n + 1]


MADE = made(3)


@lru_cache
def kept(n: int) -> int:
    return n * 2


class Thing:
    def __init__(self):
        self.kept = dict(a=lambda: 1)

    @property
    def less(self) -> bool:
        return 1 < 1
'''


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "to_mutate.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("to_mutate", path)
    assert spec is not None and spec.loader is not None
    sys.modules["to_mutate"] = found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    yield found
    del sys.modules["to_mutate"]


def mutant(module: ModuleType, function: str, what: str) -> Mutant:
    return next(m for m in mutants(Path(str(module.__file__))) if (m.function, m.what) == (function, what))


def test_functions_methods_and_what_was_kept_are_the_mutants(module: ModuleType) -> None:
    made, kept = module.made, module.kept  # as others have imported them
    assert (kept(3), module.Thing().less) == (6, False)
    take_on(mutant(module, "kept", "2 → 3"), module)
    take_on(mutant(module, "Thing.less", "Lt → LtE"), module)
    take_on(mutant(module, "made", "Add → Sub"), module)
    assert (kept(3), module.Thing().less, made(3)) == (9, True, [2])


def test_tables_are_made_anew_and_what_functions_made_at_import_too(module: ModuleType) -> None:
    take_on(mutant(module, "", "5 → 7"), module)
    assert module.TABLE == [2, 7]
    take_on(mutant(module, "made", "1 → 2"), module, [module])
    assert module.made(3) == module.MADE == [5]
    reload(module, code_of(module))
    assert (module.TABLE, module.MADE) == ([2, 5], [4])


def test_a_module_that_cannot_be_imported_is_told_from_a_broken_runner(module: ModuleType) -> None:
    with pytest.raises(CannotStart):
        reload(module, compile("1 / 0", "x", "exec"))


def test_what_is_inside_a_function_may_fall_out(module: ModuleType) -> None:
    take_on(mutant(module, "Thing.__init__", "statement falls out"), module)
    assert not hasattr(module.Thing(), "kept")


def test_a_mutant_of_nobody_is_not_called_noticed(module: ModuleType) -> None:
    found = mutant(module, "kept", "2 → 3")
    take_on(found, module)
    with pytest.raises(NotAlive):
        take_on(found, module)


def test_what_is_called_is_told(module: ModuleType) -> None:
    reached: set[str] = set()
    watch(Path(str(module.__file__)), module, reached)
    assert module.kept(4) == 8 and not module.Thing().less
    assert {name.split(":")[-1] for name in reached} == {"kept", "Thing.less", "Thing.__init__"}
