"""Where the rows of the fault table find their values: all signals of a cycle side by side in one flat array."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cellarer.core.decide.derived import DERIVED, FOREIGN, Derived
from cellarer.core.decide.look import FLOWS, Look, Reading, hides
from cellarer.core.decide.signals import PLAIN, SIGNALS, Measured, Suspected
from cellarer.core.digest import KINDS, NOT_NOW, Digest
from cellarer.model.config import Config
from cellarer.model.quantities import BY_NAME
from cellarer.model.values import NEVER, SUSPICIONS, Bools, Diagnosis, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Where each row looks: measured signals come first, then suspected ones, those of DERIVED, all others."""

    passed: tuple[str, ...]  # of DERIVED those in use: found by the compiled pass where it is there
    derived: tuple[str, ...]  # by NumPy
    index: Ints  # (row, string) into (kinds × owned + (suspicions + DERIVED + derived) × string)
    flow: Ints  # (row,) index into FLOWS


@lru_cache(maxsize=16)
def gather(config: Config) -> Gather:
    """Plan the reading of all rows of a site; once per Config."""
    layout, table = config.layout, config.faults
    owned, strings = layout.owners, np.arange(layout.yes.size)
    lies: dict[str, Ints] = {}
    passed = [name for name in DERIVED if name in table.signals and (hides(config) is None or name not in FOREIGN)]
    derived: list[str] = []
    flows = {name: signal.flow for name, signal in SIGNALS.items() if isinstance(signal, Measured)}
    for name in table.signals:
        signal = SIGNALS[name]
        if name in PLAIN and not config.sensing.present[layout.where[PLAIN[name][1]]].any():
            signal = PLAIN[name][0]
        if isinstance(signal, Measured):
            of_string = layout.pack_of_string if BY_NAME[signal.name].axis == "pack" else strings
            lies[name] = KINDS.index(signal.kind) * owned + layout.owned[signal.name].start + of_string
        elif isinstance(signal, Suspected):
            lies[name] = len(KINDS) * owned + signal.index * strings.size + strings
        elif name in passed:
            lies[name] = len(KINDS) * owned + (len(SUSPICIONS) + DERIVED.index(name)) * strings.size + strings
        else:
            at = len(SUSPICIONS) + len(DERIVED) + len(derived)
            lies[name] = len(KINDS) * owned + at * strings.size + strings
            derived.append(name)
    rows = [table.signals[k] for k in table.signal_index]
    flow = np.array([FLOWS.index(flows.get(name, "any")) for name in rows])
    return Gather(tuple(passed), tuple(derived), np.array([lies[name] for name in rows]), flow)


def read(look: Look) -> tuple[Floats, Bools, Ints]:
    """Return value, known and time of all that rows look at, flat; `gather(config).index` says where each row looks."""
    digest, told, plan = look.digest, look.state.diagnosis, gather(look.config)
    parts = [SIGNALS[name](look) for name in plan.derived]
    if look.derived is None:
        parts = [*(_reading(look, name, plan.passed) for name in DERIVED), *parts]
    wide: list[Digest | Diagnosis | Derived] = [digest, told] if look.derived is None else [digest, told, look.derived]
    value, known, time_ns = zip(*parts, strict=True) if parts else ((), (), ())
    return (
        np.concatenate([*(each.value.reshape(-1) for each in wide), *value]),
        np.concatenate([*(each.known.reshape(-1) for each in wide), *known]),
        np.concatenate([*(each.time_ns.reshape(-1) for each in wide), *time_ns]),
    )


def _reading(look: Look, name: str, wanted: tuple[str, ...]) -> Reading:
    """Return the signal where it is wanted, else one that says nothing."""
    if name in wanted:
        return SIGNALS[name](look)
    yes = look.config.layout.yes
    return Reading(np.full(yes.size, NOT_NOW), yes, np.full(yes.size, NEVER))
