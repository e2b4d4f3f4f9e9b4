"""Sample → Seen and Digest: what may be believed now, and its worst values; by the compiled pass where there is one."""

import numpy as np

from cellarer.core.digest import KINDS, Digest, digest
from cellarer.core.validate import validate
from cellarer.model.config import Config
from cellarer.model.values import Floats, Sample, Seen, Watch

try:
    from cellarer.core import kernel as _kernel
except ImportError:  # without numba NumPy does the work
    _kernel = None  # type: ignore[assignment]


def measure(
    config: Config, watch: Watch, sample: Sample, current_zero: Floats, now_ns: int, plain: bool = False
) -> tuple[Seen, Digest]:
    """Return what validate and digest return. plain: by NumPy even where the kernel is there."""
    if plain or _kernel is None:
        seen = validate(config, watch, sample, current_zero, now_ns)
        return seen, digest(config, seen, now_ns)
    sensing, layout = config.sensing, config.layout
    size, shape = layout.size["signal"], (len(KINDS), layout.owners)
    seen = Seen(np.empty(size), sample.time_ns, np.empty(size, np.int64), np.empty(size, bool))
    found = Digest(np.empty(shape), np.empty(shape, bool), np.empty(shape, np.int64))
    _kernel.measure(
        sample.value, sample.time_ns, watch.valid_ns,
        sensing.present, sensing.low, sensing.high, sensing.max_age_ns, layout.owner_of,
        current_zero, layout.where["current"].start, now_ns,
        seen.value, seen.valid_ns, seen.absurd, found.value, found.known, found.time_ns,
    )  # fmt: skip
    return seen, found
