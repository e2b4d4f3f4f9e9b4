"""Faster than real time: the world goes `speed` times as fast, the computer does not.

What says how fast processes and wires are (cycle, ages, refresh, consent, settling of contacts as it is seen through
them) therefore keeps its real length and grows in the site's time; what says how cells and rules behave does not.
At speed 1 nothing changes. A site that runs faster than real time proves nothing about reaction times.
"""

from dataclasses import replace

import numpy as np

from cellarer.config.schema import DeviceFile, SiteFile
from cellarer.model.config import Config

DROPS_AFTER_MS = 300.0  # the longest that any device may hold its outputs (config/schema.py)


def paced(config: Config, speed: float) -> Config:
    """Return a Config for this speed."""
    if speed == 1.0:
        return config

    def longer(ns: np.ndarray) -> np.ndarray:
        return (ns * speed).astype(np.int64)

    switch, faults, sensing = config.switch, config.faults, config.sensing
    return replace(
        config,
        cycle_ns=round(config.cycle_ns * speed),
        sensing=replace(sensing, max_age_ns=longer(sensing.max_age_ns)),
        faults=replace(faults, debounce_ns=longer(faults.debounce_ns), budget_ns=longer(faults.budget_ns)),
        switch=replace(
            switch,
            settle_ns=longer(switch.settle_ns),
            precharge_ns=longer(switch.precharge_ns),
            open_delay_ns=longer(switch.open_delay_ns),
        ),
    )


def paced_device(device: DeviceFile, default_drop_ms: float | None, speed: float) -> DeviceFile:
    """Return a simulated device for this speed: its refresh time keeps its real length."""
    drop_ms = device.drops_after_ms or default_drop_ms
    if speed == 1.0 or drop_ms is None:
        return device
    return device.model_copy(update={"drops_after_ms": drop_ms * speed})


def drop_ns(site: SiteFile, speed: float) -> int:
    """Return the shortest silence after which a device of this site may have opened by itself."""
    times = [d.drops_after_ms for d in site.device if d.drops_after_ms is not None]
    return int(min(times, default=DROPS_AFTER_MS) * 1e6 * speed)
