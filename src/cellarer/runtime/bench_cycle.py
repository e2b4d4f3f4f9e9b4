"""The cycle as control runs it, for `bench`: imports what control imports, and is handed the compiled site as one file.

`python -m cellarer.runtime.bench_cycle FILE SHA256 COUNT` runs COUNT cycles and prints the resident memory in MB.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cellarer.board.tree import read_config
from cellarer.core import cycle, slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.core.decide import balance, charge, cool, protect, sequence
from cellarer.model.config import Config
from cellarer.model.values import Sample, no_plan


def cycles(site: Config, count: int) -> Iterator[float]:
    """Run cycles of 20 ms with changing measurements and yield what each took, in s."""
    layout, generator = site.layout, np.random.default_rng(1)
    plan = no_plan(layout.size["cell"], layout.size["pack"])
    state, requests = start(site, 0), no_requests(site)
    value = np.full(layout.size["signal"], np.nan)
    value[layout.where["temp_degC"]] = 24.0
    for k in range(count):
        now_ns = (k + 1) * site.cycle_ns
        value = value.copy()
        volts = 3.7 + 0.01 * generator.standard_normal(layout.size["cell"])
        value[layout.where["cell_voltage"]] = volts
        value[layout.where["string_voltage"]] = layout.total(volts)
        value[layout.where["current"]] = -1.0 + 0.1 * generator.standard_normal()
        inputs = Inputs(Sample(value, np.full(value.size, now_ns)), requests, plan)
        begin = time.perf_counter()
        state, _, _ = step(site, state, inputs, now_ns)
        yield time.perf_counter() - begin


PARTS = (
    (cycle, "measure"), (cycle, "remember"), (protect, "protect"), (slow, "estimate"), (sequence, "sequence"),
    (charge, "charge"), (cycle, "limit"), (balance, "balance"), (cool, "cool"), (cycle, "clamp"),
)  # fmt: skip


def parts(site: Config, count: int) -> dict[str, float]:
    """Return the mean time of the cycle's parts over `count` cycles, in us; `rest` is all that stands between them.

    The parts are wrapped while it runs, which costs about 0.2 us each; nothing else may run cycles meanwhile.
    """
    spent = dict.fromkeys((name for _, name in PARTS), 0.0)
    kept = {name: getattr(module, name) for module, name in PARTS}

    def timed(name: str) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            begin = time.perf_counter()
            try:
                return kept[name](*args, **named)
            finally:
                spent[name] += time.perf_counter() - begin

        return call

    try:
        for module, name in PARTS:
            setattr(module, name, timed(name))
        whole = sum(cycles(site, count))
    finally:
        for module, name in PARTS:
            setattr(module, name, kept[name])
    spent["rest"] = whole - sum(spent.values())
    return {name: 1e6 * seconds / count for name, seconds in spent.items()}


def main() -> None:
    """Run cycles of the site in the file and print the resident memory of this process in MB."""
    site = read_config(Path(sys.argv[1]), sys.argv[2])
    assert isinstance(site, Config)
    for _ in cycles(site, int(sys.argv[3])):
        pass
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    print(pages * resource.getpagesize() / 1e6)


if __name__ == "__main__":
    main()
