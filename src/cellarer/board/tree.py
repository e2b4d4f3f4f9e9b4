"""Trees of dataclasses with arrays ↔ a JSON outline and one block of bytes. No pickle: nothing in a file is executed.

The outline says for every leaf where it lies; only dataclasses, named tuples and enums of the modules in TRUSTED are
built, by their constructors. Used for the compiled Config, the snapshot and the durable record.
"""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellarer.board.files import write_whole
from cellarer.board.ring import BoardError

TRUSTED = ("cellarer.model.", "cellarer.core.estimate", "cellarer.core.slow", "cellarer.board.snapshot")
MAGIC = b"CELLTREE\x01\n"
_ALIGN = 8
_KINDS = "biuf"  # bool, integers, floats: plain numbers only

Outline = dict[str, object]
Array = NDArray[np.generic]


def encode(tree: object) -> bytes:
    """Return a tree as bytes: magic, length of the outline, outline, arrays."""
    arrays: list[Array] = []
    size = 0

    def place(array: Array) -> int:
        nonlocal size
        at = size
        arrays.append(array)
        size += -(-array.nbytes // _ALIGN) * _ALIGN
        return at

    text = json.dumps(outline(tree, place), separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 8 + len(text)) % _ALIGN)
    block = b"".join(a.tobytes() + bytes(-a.nbytes % _ALIGN) for a in arrays)
    return MAGIC + len(text).to_bytes(8, "little") + text + block


def decode(data: bytes | bytearray) -> object:
    """Build the tree that `encode` wrote; its arrays may be altered if the bytes may. Raises BoardError."""
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if data[: len(MAGIC)] != MAGIC or start + length > len(data):
        raise BoardError("not a tree of this version of Cellarer")
    try:
        return build(json.loads(data[start : start + length]), memoryview(data)[start + length :])
    except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise BoardError(f"a tree that cannot be built: {error}") from error


def outline(tree: object, place: Callable[[Array], int]) -> Outline:
    """Describe a tree; `place` is told each array and says where it will lie."""
    if isinstance(tree, np.ndarray | np.generic):
        array = np.asarray(tree)
        if array.dtype.kind not in _KINDS:
            raise BoardError(f"an array of {array.dtype} may not stand in a board file")
        return {"a": array.dtype.str, "shape": list(array.shape), "at": place(array)}
    if isinstance(tree, Enum):
        return {"enum": _name(type(tree)), "v": tree.value}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        parts = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree) if f.init}
        return {"class": _name(type(tree)), "f": {k: outline(v, place) for k, v in parts.items()}}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return {"class": _name(type(tree)), "f": {k: outline(getattr(tree, k), place) for k in tree._fields}}
    if isinstance(tree, tuple | list):
        return {"list" if isinstance(tree, list) else "tuple": [outline(x, place) for x in tree]}
    if isinstance(tree, Mapping):
        return {"map": [[outline(k, place), outline(v, place)] for k, v in tree.items()]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {"v": tree}
    raise BoardError(f"a {type(tree).__name__} may not stand in a board file")


def build(node: Outline, block: memoryview) -> object:
    """Build the object that an outline describes; arrays are views of `block`, read-only if the block is."""
    match node:
        case {"a": str(dtype), "shape": list(shape), "at": int(at)}:
            kind = np.dtype(dtype)
            if kind.kind not in _KINDS or at < 0 or not all(isinstance(n, int) and n >= 0 for n in shape):
                raise BoardError(f"an array of {dtype} at {at} may not stand in a board file")
            return np.frombuffer(block, kind, int(np.prod(shape)), at).reshape(shape)
        case {"enum": str(name), "v": value}:
            return _class(name)(value)
        case {"class": str(name), "f": dict(parts)}:
            return _class(name)(**{k: build(v, block) for k, v in parts.items()})
        case {"tuple": list(items)}:
            return tuple(build(x, block) for x in items)
        case {"list": list(items)}:
            return [build(x, block) for x in items]
        case {"map": list(items)}:
            return {build(k, block): build(v, block) for k, v in items}
        case {"v": None | bool() | int() | float() | str() as value}:
            return value
    raise BoardError(f"an unknown part of a board file: {sorted(node)}")


def write_config(path: Path, config: object) -> str:
    """Write a compiled Config as one file and return the SHA-256 of the file, which is then published."""
    data = encode(config)
    write_whole(path, data, sync=False)
    return hashlib.sha256(data).hexdigest()


def read_config(path: Path, sha256: str) -> object:
    """Read a compiled Config. Raises BoardError unless the file has the published hash."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BoardError(f"{path} has the hash {found[:16]}…, published was {sha256[:16]}…: start the site again")
    return decode(data)


def _name(cls: type) -> str:
    name = f"{cls.__module__}:{cls.__qualname__}"
    if not name.startswith(TRUSTED):
        raise BoardError(f"{name} may not stand in a board file: only classes of {', '.join(TRUSTED)}")
    return name


def _class(name: str) -> type:
    if not name.startswith(TRUSTED) or name.count(":") != 1:
        raise BoardError(f"{name} may not be built from a board file")
    module, qualname = name.split(":")
    found = getattr(importlib.import_module(module), qualname, None)
    if not isinstance(found, type) or found.__module__ != module:
        raise BoardError(f"{name} is unknown to this version of Cellarer: start the site again")
    return found
