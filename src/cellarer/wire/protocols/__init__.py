"""Protocols as tables, one file each; found by the file's name, or by the entry point group `cellarer.protocols`.

A file is imported when its protocol is first asked for. Files with a leading "_" hold rows that several share.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from cellarer.wire.table import Protocol

GROUP = "cellarer.protocols"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all protocols, shipped ones and plug-ins, sorted."""
    shipped = {m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")}
    return tuple(sorted(shipped | {e.name for e in entry_points(group=GROUP)}))


@cache
def get(name: str) -> Protocol:
    """Return a protocol by name. Raises ValueError that lists what there is."""
    if name not in names():
        raise ValueError(f"protocol = {name!r} is unknown; allowed: {', '.join(names())}")
    plugin = next((e for e in entry_points(group=GROUP) if e.name == name), None)
    found = plugin.load() if plugin else importlib.import_module(f"{__name__}.{name}").PROTOCOL
    if not isinstance(found, Protocol):
        raise ValueError(
            f"protocol {name!r}: its plug-in must give a cellarer.wire.table.Protocol, not {type(found).__name__}"
        )
    return found
