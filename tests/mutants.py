"""Mutants of one source file: its tree with one small thing changed, and how a living program takes a mutant on.

What is changed: comparisons, and/or, arithmetic, bit and set operators, not and ~, numbers, true and false, conditions
of `if`, minimum and maximum, any and all; statements that store or call something fall out, and so do rows of tables.
Texts, annotations and docstrings stay.
"""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
NAMES = {"minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any", "min": "max", "max": "min",
         "ones": "zeros", "zeros": "ones"}  # fmt: skip
Change = Callable[[Any], Any]


class Mutant(NamedTuple):
    """One change in one file; `function` is where it lies, empty = at the level of the module or a class."""

    file: str
    function: str
    line: int
    what: str
    place: int  # of the node in `nodes`
    number: int  # of the change of that node


def nodes(tree: ast.Module) -> list[tuple[ast.AST, ast.AST | None, str]]:
    """Return (node, parent, function) of all that may change, in a fixed order."""
    found: list[tuple[ast.AST, ast.AST | None, str]] = []

    def walk(node: ast.AST, parent: ast.AST | None, function: str, scope: str) -> None:
        found.append((node, parent, function))
        for name, value in ast.iter_fields(node):
            inside = function
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                if name in ("decorator_list", "bases", "returns"):
                    continue
                scope_in = f"{scope}{node.name}."
                named = isinstance(node, ast.FunctionDef) and name == "body"
                inside = (function or f"{scope}{node.name}") if named else function
            else:
                scope_in = scope
            if name in ("annotation", "ctx"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    walk(child, node, inside, scope_in)

    walk(tree, None, "", "")
    return found


def changes(node: ast.AST, function: str) -> Iterator[tuple[str, Change]]:
    """Return what may become of a node: a word for it, and the change of a copy."""
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield _word(op, COMPARISONS[type(op)]), functools.partial(_compare, i)
        case ast.BoolOp(op=op):
            other = ast.Or if isinstance(op, ast.And) else ast.And
            yield _word(op, other), lambda n, other=other: _set(n, op=other())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield _word(op, OPERATORS[type(op)]), lambda n, op=op: _set(n, op=OPERATORS[type(op)]())
        case ast.UnaryOp(op=op) if not isinstance(op, ast.UAdd):
            yield f"{type(op).__name__} falls out", lambda n: n.operand
        case ast.Constant(value=bool(value)):
            yield f"{value} → {not value}", lambda n: _set(n, value=not n.value)
        case ast.Constant(value=int(value) | float(value)):
            other = value + max(1, value // 2) if isinstance(value, int) else value * 1.5 if value else 1.0
            yield f"{value} → {other}", lambda n, other=other: _set(n, value=other)
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in NAMES:
            field = "attr" if isinstance(node, ast.Attribute) else "id"
            yield f"{name} → {NAMES[name]}", lambda n, f=field, name=name: _set(n, **{f: NAMES[name]})
        case ast.List(elts=rows) | ast.Tuple(elts=rows) if not function:
            for i, row in enumerate(rows):
                if isinstance(row, ast.Call):
                    yield f"row {i + 1} falls out", functools.partial(_without, i)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "condition negated", lambda n: _set(n, test=ast.UnaryOp(ast.Not(), n.test))
    stores = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    calls = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if function and (stores or calls or isinstance(node, ast.AugAssign | ast.Continue | ast.Break)):
        yield "statement falls out", lambda n: ast.Pass()


def _word(old: ast.AST, new: type) -> str:
    return f"{type(old).__name__} → {new.__name__}"


def _set(node: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(node, name, value)
    return node


def _compare(i: int, node: Any) -> Any:
    node.ops[i] = COMPARISONS[type(node.ops[i])]()
    return node


def _without(i: int, node: Any) -> Any:
    del node.elts[i]
    return node


def mutants(file: Path) -> list[Mutant]:
    """Return every mutant of a file."""
    found = []
    for place, (node, _, function) in enumerate(nodes(ast.parse(file.read_text()))):
        for number, (what, _) in enumerate(changes(node, function)):
            found.append(Mutant(str(file), function, getattr(node, "lineno", 0), what, place, number))
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """Return the changed tree."""
    tree = ast.parse(Path(mutant.file).read_text())
    node, parent, function = nodes(tree)[mutant.place]
    change = [c for _, c in changes(node, function)][mutant.number]
    new = change(deepcopy(node))
    assert parent is not None
    for name, value in ast.iter_fields(parent):
        if value is node:
            setattr(parent, name, new)
        elif isinstance(value, list):
            setattr(parent, name, [new if item is node else item for item in value])
    return ast.fix_missing_locations(ast.copy_location(new, node) and tree)


class NotAlive(Exception):
    """No living function has the code that a mutant changes: nobody could notice it, and nobody was asked."""


class CannotStart(Exception):
    """The module of a mutant cannot be imported: it does no harm."""


def take_on(mutant: Mutant, module: ModuleType, built: Iterable[ModuleType] = ()) -> None:
    """Let the living program be the mutant: its functions get new code, or its tables new content.

    built: modules whose content the changed function makes while they are imported; they are made anew.
    """
    new = _compile(mutated(mutant), mutant.file)
    if mutant.function and not _exchange(mutant.file, new):
        raise NotAlive(mutant)
    if not mutant.function:
        reload(module, new)
    for other in built:
        reload(other, new if other is module else code_of(other))
    _forget(mutant.file)


def code_of(module: ModuleType) -> CodeType:
    return _compile(ast.parse(Path(str(module.__file__)).read_text()), str(module.__file__))


def _compile(tree: ast.Module, file: str) -> CodeType:
    return compile(tree, file, "exec", dont_inherit=True)  # of this file's own __future__, which would make other code


def watch(file: Path, module: ModuleType, reached: set[str]) -> CodeType:
    """Let each function of a living module say when it is called; nothing else is slowed. Returns the module's code."""
    tree = ast.parse(file.read_text())
    found = nodes(tree)
    for node, _, _ in found:
        if isinstance(node, ast.FunctionDef):
            inside = next(name for child, parent, name in found if parent is node and child is node.body[0])
            node.body.insert(0, ast.parse(f"_reached({f'{file}:{inside}'!r})").body[0])
    module.__dict__["_reached"] = reached.add
    new = _compile(ast.fix_missing_locations(tree), str(file))
    _exchange(str(file), new)
    _forget(str(file))
    return new


def _exchange(file: str, new: CodeType) -> int:
    """Give the living functions of a file their code of `new`; return how many changed."""
    old, then = _places(_compile(ast.parse(Path(file).read_text()), file)), _places(new)
    codes = {a: b for place, own in old.items() for a, b in zip(own, then.get(place, [])) if a != b}
    changed = 0
    for function in gc.get_objects():
        if type(function) is FunctionType and function.__code__.co_filename == file and function.__code__ in codes:
            function.__code__ = codes[function.__code__]
            changed += 1
    return changed


def _forget(file: str) -> None:
    """Empty the caches of a file's functions."""
    for wrapper in gc.get_objects():
        if type(wrapper) is functools._lru_cache_wrapper:
            code = getattr(getattr(wrapper, "__wrapped__", None), "__code__", None)
            if code is not None and code.co_filename == file:
                wrapper.cache_clear()


def _places(code: CodeType) -> dict[tuple[str, int], list[CodeType]]:
    """Return the code of all functions by name and line: a lambda may have fallen out."""
    found: dict[tuple[str, int], list[CodeType]] = {}
    for one in _codes(code):
        found.setdefault((one.co_qualname, one.co_firstlineno), []).append(one)
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def reload(module: ModuleType, code: CodeType) -> None:
    """Run the module anew beside the old one, and put what it holds in the old one's place, wherever that went."""
    fresh = ModuleType(module.__name__)
    fresh.__file__ = module.__file__
    fresh.__dict__["_reached"] = module.__dict__.get("_reached")
    try:
        exec(code, fresh.__dict__)
    except (Exception, SystemExit) as error:
        raise CannotStart(repr(error)) from error
    for name, value in list(fresh.__dict__.items()):
        before = module.__dict__.get(name)
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        if isinstance(value, type):
            if value.__module__ == module.__name__ and "__init__" in value.__dict__:
                before.__init__ = value.__init__  # type: ignore[union-attr,misc]
        elif isinstance(value, FunctionType):
            if value.__module__ == module.__name__:
                before.__defaults__, before.__kwdefaults__ = value.__defaults__, value.__kwdefaults__  # type: ignore
        else:
            for other in [x for x in sys.modules.values() if isinstance(x, ModuleType)]:
                if name in other.__dict__ and other.__dict__[name] is before:
                    other.__dict__[name] = value
