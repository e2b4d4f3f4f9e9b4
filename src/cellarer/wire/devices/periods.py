"""How often a site measures each signal, from the protocols of its devices."""

import numpy as np
from numpy.typing import NDArray

from cellarer.config.schema import DeviceFile, SiteFile
from cellarer.model.layout import Layout
from cellarer.model.quantities import BY_NAME, SIGNALS
from cellarer.wire.devices.driver import places
from cellarer.wire.protocols import get
from cellarer.wire.table import Protocol, configured

Floats = NDArray[np.float64]


def periods_s(site: SiteFile, layout: Layout) -> Floats:
    """Return the sample period of every signal, (signal,) s; the longer one where control and guard read it apart.

    A cyclic message has its own period, an answer that of its question; what no protocol says is the quantity's.
    """
    result = np.concatenate([np.full(layout.size[q.axis], q.period_s) for q in SIGNALS])
    for number, device in enumerate([*site.device, *site.guard.device]):
        protocol = configured(get(device.protocol), device.options, f"device {device.name!r}")
        at = places(layout, device)
        for name in device.signals if device.signals is not None else protocol.signals:
            count = {"cell": device.cells, "temp": device.temperatures}.get(BY_NAME[name].axis, 1)
            period_s = _period_s(protocol, device, name)
            if period_s:
                mine = slice(at[name], at[name] + count)
                result[mine] = period_s if number < len(site.device) else np.maximum(result[mine], period_s)
    return result


def _period_s(protocol: Protocol, device: DeviceFile, name: str) -> float:
    """Return how often a device sends a signal, s; 0 = the protocol does not say."""
    sent = [m for m in protocol.sent_by("device") if any(f.name == name for f in m.fields)]
    asked = [m for m in protocol.sent_by("controller") if m.asks in {s.name for s in sent}]
    periods = [protocol.period_ns(m, device.period_ms) * 1e-9 for m in (*sent, *asked) if m.period_ms]
    return max(periods, default=(device.period_ms or 0.0) * 1e-3)
