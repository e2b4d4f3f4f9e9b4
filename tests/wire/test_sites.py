"""Every shipped site: its devices and faces can be built, lie inside the packs, and deliver each signal they name."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from cellarer.config.schema import DeviceFile, SiteFile
from cellarer.model.quantities import BY_NAME
from cellarer.sim.emulator import emulator
from cellarer.wire.devices.driver import driver
from cellarer.wire.faces.face import face

SITES = {
    path.name: SiteFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    for path in sorted(files("cellarer.config").joinpath("sites").iterdir(), key=lambda p: p.name)
    if path.name.endswith(".toml")
}
DEVICES = [(name, device) for name, site in SITES.items() for device in site.device]
MS = 1_000_000


def values(device: DeviceFile) -> dict[str, Any]:
    """Return something plausible for every signal of a device: 3.3 V, 25 degC, 53 V, facts true."""
    sizes = {"cell": device.cells, "temp": device.temperatures}
    usual = {"cell_voltage": 3.3, "temp_degC": 25.0, "string_voltage": 53.0, "link_voltage": 53.0, "foreign_soc": 0.5}
    return {name: np.full(sizes.get(q.axis, 1), usual.get(name, min(q.high, 1.0))) for name, q in BY_NAME.items()}


@pytest.mark.parametrize(("site", "device"), DEVICES, ids=[f"{s}-{d.name}" for s, d in DEVICES])
def test_device_delivers_what_the_site_names(site: str, device: DeviceFile) -> None:
    reader, box, got = driver(device), emulator(device), {}
    for t in range(0, 3000 * MS, 20 * MS):
        for question in reader.due(t):
            box.receive(question, t)
        for item in box.frames(values(device), t):
            got |= {(r.signal, r.at): r.value for r in reader.receive(item, t)}
    sizes = {"cell": device.cells, "temp": device.temperatures}
    named = device.signals if device.signals is not None else reader.protocol.signals
    for name in named:
        for at in range(sizes.get(BY_NAME[name].axis, 1)):
            assert np.isfinite(got[name, at]), f"{site}: {name} {at}"
    assert not reader.counters.bad
    assert not box.counters.bad


@pytest.mark.parametrize("name", SITES)
def test_faces_of_the_site_can_be_built(name: str) -> None:
    site = SITES[name]
    for file in site.face:
        assert file.link in {link.name for link in site.link}
        if file.protocol != "mqtt":
            assert face(file)
