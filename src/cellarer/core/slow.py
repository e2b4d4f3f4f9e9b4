"""Work that is due less often than the cycle: estimation, power, counters; in between the last result is carried.

What a restart begins from, and what is kept for one, stands here, too.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from cellarer.core import advised, forecast
from cellarer.core import estimate as estimators
from cellarer.core.asked import GRACE_NS, set_now, start_wishes
from cellarer.core.counters import flow
from cellarer.core.decide import protect, sequence
from cellarer.core.decide.charge import filled
from cellarer.core.decide.diagnose import SOUND_SHARE, diagnose, shift_jumped
from cellarer.core.decide.signals import Look
from cellarer.core.readout import cell_temps, read_out, read_slow, unknown
from cellarer.core.remember import GAP_S
from cellarer.model.advice import Advised
from cellarer.model.config import Config, Switchgear
from cellarer.model.values import (
    FOREVER,
    NEVER,
    SUSPICIONS,
    Bools,
    Counters,
    Diagnosis,
    Estimate,
    Faults,
    Floats,
    Forecast,
    Latch,
    Requests,
    State,
    Switches,
    Watch,
    Wishes,
    renew,
)

FULL_SIGMA = 0.01  # 1: SOC of a cell at end voltage and tail current, where full is defined, or what the curve says
NEWS = 2.0  # sigmas: an empty cell is told to the filter when SOC is so far off, or so much wider
SET_SIGMA = 0.03  # 1: how well a person knows the SOC that he sets
UNREAD = 0.05  # of the charge that converters move unmeasured: one sigma of their gain (own estimate: ± 10 % at most)
DRIFT = SUSPICIONS.index("current_drift")


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What the slow tasks leave: the estimators' memory, what they say, and the lifetime counters."""

    watch: Watch
    estimator: estimators.EstimateState
    estimate: Estimate
    estimated_ns: int
    power_ns: int
    forecast: Forecast
    advised: Advised
    diagnosis: Diagnosis
    counters: Counters


@dataclass(frozen=True, slots=True, eq=False)
class Begin:
    """What is known before the first cycle."""

    estimator: estimators.EstimateState
    estimate: Estimate
    counters: Counters
    faults: Faults
    switches: Switches
    current_zero: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Durable:
    """What survives a restart. Fault latches are kept by row name, so that a changed table does not shift them."""

    version: int
    site: str
    soc: Floats  # (cell,)
    soc_sigma: Floats  # (cell,)
    capacity_Ah: Floats  # (cell,)
    capacity_sigma_Ah: Floats  # (cell,)
    resistance_scale: Floats  # (cell,)
    counters: Counters
    latched: tuple[tuple[str, int], ...]  # (row name, string)
    tries: Floats
    closings: Floats
    openings_under_load: Floats
    wear: Floats
    current_zero: Floats  # (string,) A
    off_s: float  # how long it lay stored; NaN where no clock is trusted
    soc_between_sigma: Floats | None = None  # (cell,) against the other cells of the string; None = an older record
    wishes: Wishes | None = None  # full_by_ns counted from this record on; None = an older record


DURABLE_VERSION = 1


@lru_cache(maxsize=16)
def compiled(config: Config) -> estimators.EstimatorConfig:
    """Return the estimators' tables of a site; made once per Config object."""
    size = config.size[config.layout.string_of_cell]
    return estimators.compile_cells(config.models, config.cell_kind, config.capacity_Ah, size, _learn_C(config))


def _learn_C(config: Config) -> float:
    """Return below which C a steady current may be an offset: where switches of ours may be open, they alone say so.

    A house at rest draws a per cent of C for hours: what a battery with switches of its own reports counts, if it is
    more than a sound sensor may be off; in a recording it may be either, and sigma holds both.
    """
    if config.recording:
        return estimators.RECORDED_C
    if (config.switch.kind != Switchgear.NONE).any():
        return 0.0
    rated = np.maximum(config.limits.rated_charge_A, config.limits.rated_discharge_A)
    return float((SOUND_SHARE * rated[config.layout.string_of_cell] / config.capacity_Ah).min())


def _waited(look: Look, estimator: estimators.EstimateState) -> Known:
    """What is known in a cycle in which no estimation is due: rounds of SOP begin and go on."""
    state = look.state
    said, powers, power_ns = _powers(look, compiled(look.config), estimator, state.estimate, state.forecast)
    return Known(
        look.watch, estimator, said, state.estimated_ns, power_ns, powers, state.advised, state.diagnosis,
        state.counters,
    )  # fmt: skip


def _powers(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, said: Estimate,
    powers: Forecast,
) -> tuple[Estimate, Forecast, int]:  # fmt: skip
    """Begin a round of SOP where one is due, with what is said as often; do what is due of it. Also when it began."""
    config, now_ns, power_ns = look.config, look.now_ns, look.state.power_ns
    since_ns = now_ns - power_ns
    if since_ns >= config.power_ns - config.cycle_ns // 2 and forecast.powered(config, powers):
        elapsed_s = min(since_ns * 1e-9, GAP_S) if power_ns > NEVER else 0.0
        said = read_slow(config, tables, estimator, said, look, elapsed_s)
        powers = forecast.begin(look, said, powers)
        # the first is complete at once; the next is due beside what else is due once a second (response.py)
        power_ns = now_ns if power_ns > NEVER else now_ns - config.power_ns // 2
    if not forecast.complete(config, powers):
        said, powers = forecast.go_on(look, tables, estimator, said, powers, power_ns)
    return said, powers, power_ns


def _stepped(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, dirty: Bools | None,
    elapsed_s: float,
) -> tuple[estimators.EstimateState, Floats]:  # fmt: skip
    """Advance the filters by what was measured since the last time; also the mean current meanwhile, (string,)."""
    state, config, seen = look.state, look.config, look.seen.value
    layout, owner = config.layout, config.layout.string_of_cell
    voltage, moved_Ah = seen[layout.where["cell_voltage"]], state.balancing.moved_Ah - state.balancing.counted_Ah
    mean, other = look.watch.current, np.zeros_like(moved_Ah)
    if elapsed_s > 0.0:
        heard = look.watch.charge_s / elapsed_s > 0.5
        mean = np.where(heard, look.watch.charge / np.maximum(look.watch.charge_s, 1e-9), np.nan)
        other = moved_Ah * (3600.0 / elapsed_s)
    estimator = estimators.step(
        tables,
        estimator,
        voltage if dirty is None else np.where(dirty, np.nan, voltage),
        seen[layout.where["current"]][owner],
        cell_temps(config, seen),
        elapsed_s,
        mean[owner] + other,
        look.all_off[owner],
    )
    unread = state.balancing.unread_ns >= state.estimated_ns
    if elapsed_s > 0.0 and np.count_nonzero(unread):
        before_Ah, after_Ah = UNREAD * state.balancing.counted_Ah, UNREAD * state.balancing.moved_Ah
        somewhere = ~layout.every(~unread)[owner]
        estimator = estimators.uncounted(tables, estimator, before_Ah, np.where(somewhere, after_Ah, before_Ah))
    return estimator, mean


def estimate(look: Look, requests: Requests, dirty: Bools | None) -> Known:
    """Run what is due. Estimation every `estimate_ns`, a round of SOP every `power_ns`; the first cycle runs both.

    dirty: (cell,) whose voltage bleeding falsifies now: the filters get none from it; None = nobody's.
    """
    state, config, now_ns = look.state, look.config, look.now_ns
    elapsed_ns = now_ns - state.estimated_ns if state.estimated_ns > NEVER else 0
    due = state.estimated_ns == NEVER or elapsed_ns >= config.estimate_ns - config.cycle_ns // 2
    asked, full = set_now(requests), filled(look)
    estimator: estimators.EstimateState = state.estimator  # type: ignore[assignment]
    if not (due or np.count_nonzero(asked) or np.count_nonzero(full)):
        return _waited(look, estimator)
    layout, owner = config.layout, config.layout.string_of_cell
    tables, given = compiled(config), estimator
    if np.count_nonzero(asked):
        granted = np.where(asked, requests.set_soc, np.nan)[layout.pack_of_cell]
        estimator = estimators.set_soc(tables, estimator, granted, SET_SIGMA)
    if np.count_nonzero(full):
        there = np.where(full, _end_of_charge_soc(config), np.nan)
        estimator = estimators.anchor(tables, estimator, owner, there, np.where(full, FULL_SIGMA, np.nan))
    elapsed_s = elapsed_ns * 1e-9
    jumped = shift_jumped(look, tables, given, estimator)
    estimator, mean = _stepped(look, tables, estimator, dirty, elapsed_s)
    if not config.recording and estimators.looked(estimator):
        given = estimator
        estimator = _learnt(look, tables, estimator)
        jumped = jumped + shift_jumped(look, tables, given, estimator)
    said = read_out(config, tables, estimator, state.estimate)
    heat_A2 = forecast.warmed(look, state.forecast.heat_A2, mean, elapsed_s)
    voltage = look.seen.value[layout.where["cell_voltage"]]
    powers = renew(state.forecast, heat_A2=heat_A2, shown_V=np.where(voltage > 0.0, voltage + look.hidden, 0.0))
    power_ns = state.power_ns
    if not forecast.waits(look):
        said, powers, power_ns = _powers(look, tables, estimator, said, powers)
    zero = np.zeros(layout.size["string"])
    return Known(
        watch=renew(look.watch, charge=zero, charge_s=zero),
        estimator=estimator,
        estimate=said,
        estimated_ns=now_ns,
        power_ns=power_ns,
        forecast=powers,
        advised=advised.advise(look, tables, estimator, said, state.advised),
        diagnosis=diagnose(look, tables, estimator, jumped),
        counters=flow(look, elapsed_s),
    )


@lru_cache(maxsize=16)
def _end_of_charge_soc(config: Config) -> Floats:
    """Return the SOC at rest at the end-of-charge voltage, at most 1, (cell,): some cells are charged to less."""
    end_V, found = config.limits.end_of_charge_V[config.layout.string_of_cell], np.ones(config.layout.size["cell"])
    for kind, model in enumerate(config.models):
        curve = model.ocv[int(np.abs(model.temp_degC - 25.0).argmin())]
        at = np.interp(end_V, curve, np.linspace(0.0, 1.0, curve.size))
        found = np.where(config.cell_kind == kind, at, found)
    return found


def _learnt(
    look: Look, tables: estimators.EstimatorConfig, estimator: estimators.EstimateState
) -> estimators.EstimateState:
    """Count with the capacity that was learnt; anchor cells that are empty, where they are not known as well already.

    A current that surely drifts teaches none. A recording keeps the one that it was given, and has no ends of its own.
    """
    config, owner = look.config, look.config.layout.string_of_cell
    estimator = estimators.doubted(estimator, (look.state.diagnosis.value[DRIFT] > 0.0)[owner])
    estimator = estimators.adopt_capacity(tables, estimator)
    low = look.of("cell_voltage") < config.limits.discharge_V[owner]
    if not low.any():
        return estimator
    soc, sigma = estimators.empty(tables, estimator)
    now, doubt = estimators.soc(tables, estimator), estimators.soc_sigma(tables, estimator)
    news = low & ((np.abs(now - soc) > NEWS * sigma) | (doubt > NEWS * sigma))
    if not news.any():
        return estimator
    return estimators.anchor(tables, estimator, owner, np.where(news, soc, np.nan), np.where(news, sigma, np.nan))


def start(config: Config, durable: Durable | None, now_ns: int) -> Begin:
    """Return the slow memory before the first cycle, from the durable record where there is one that fits."""
    tables, size = compiled(config), config.layout.size
    n_cell, n_string = size["cell"], size["string"]
    unsure, zero, no = np.full(n_cell, np.nan), np.zeros(n_string), np.zeros(n_string, np.int64)
    counters = Counters(zero, zero, zero, zero, zero, zero, no, no, no, zero)
    faults, switches, current_zero = protect.start(config), sequence.start(config, now_ns), zero
    estimator = estimators.init(tables, unsure, unsure, capacity_sigma_Ah=_file_sigma_Ah(config))
    if durable is not None:
        faults = _latches(config, faults, durable)  # a latch survives whatever else of the record does not fit
    if durable is not None and durable.wear.shape == (n_string,):  # and what was counted, though SOC is unknown
        counters = _whole(durable.counters, n_string)
        switches = replace(
            switches,
            closings=durable.closings.astype(np.int64),
            openings_under_load=durable.openings_under_load.astype(np.int64),
            wear=durable.wear,
        )
    if durable is not None and fits(config, durable):
        estimator = estimators.init(
            tables,
            durable.soc,
            np.hypot(durable.soc_sigma, rest_sigma(durable.off_s)),
            capacity_Ah=durable.capacity_Ah,
            capacity_sigma_Ah=durable.capacity_sigma_Ah,
            resistance_scale=durable.resistance_scale,
        )
        estimator = _between(tables, estimator, durable)
        current_zero = durable.current_zero
        switches = replace(switches, tries=durable.tries.astype(np.int64))
    return Begin(estimator, unknown(config), counters, faults, switches, current_zero)


def _file_sigma_Ah(config: Config) -> Floats:
    """Sigma of a capacity that the cell file guesses, (cell,); NaN where a site gives its own or the file is sure."""
    parallel = config.parallel[config.layout.string_of_cell]
    sigma = np.array([model.capacity_sigma for model in config.models])[config.cell_kind]
    from_file = np.array([model.capacity_Ah for model in config.models])[config.cell_kind] * parallel
    guessed = (sigma > estimators.CLAIM) & np.isclose(config.capacity_Ah, from_file, rtol=1e-6)
    return np.where(guessed, sigma * config.capacity_Ah, np.nan)


def _whole(counters: Counters, strings: int) -> Counters:
    """Return counters in which what an older record does not have begins at zero."""
    empty = {f.name: np.zeros(strings, getattr(counters, f.name).dtype) for f in fields(Counters)}
    return Counters(**{k: x if (x := getattr(counters, k)).shape == (strings,) else zero for k, zero in empty.items()})


def _between(
    tables: estimators.EstimatorConfig, estimator: estimators.EstimateState, durable: Durable
) -> estimators.EstimateState:
    """Return estimators that know cells against each other as well as before: a restart moves none of them."""
    sigma = durable.soc_between_sigma
    if sigma is None or sigma.shape != durable.soc.shape:
        return estimator
    grown = np.hypot(sigma, rest_sigma(durable.off_s))
    return estimators.with_between(tables, estimator, np.where(grown >= 0.0, grown, np.inf))


def fits(config: Config, durable: object) -> bool:
    """Return whether a durable record is one of this site as it is now, and SOC is known from it."""
    if not isinstance(durable, Durable) or durable.version != DURABLE_VERSION or durable.site != config.site:
        return False
    size = config.layout.size
    shapes = durable.soc.shape == (size["cell"],) and durable.wear.shape == (size["string"],)
    return shapes and not np.isnan(durable.soc).any()


def rest_sigma(off_s: float) -> float:
    """Return how much SOC sigma grows over time off: 3 %/month known to a third; unknown time: 5 points."""
    return 0.05 if not off_s >= 0.0 else 0.01 * off_s / (30 * 86400.0)


def _latches(config: Config, faults: Faults, durable: Durable) -> Faults:
    rows = {name: i for i, name in enumerate(config.faults.name)}
    latched = faults.latched.copy()
    for name, string in durable.latched:
        if name in rows and 0 <= string < latched.shape[1]:
            latched[rows[name], string] = True
    return replace(faults, latched=latched, active=latched)


def durable(config: Config, state: State) -> Durable:
    """Return what of the state must survive a restart."""
    e, kept = state.estimate, (np.asarray(config.faults.latch) > Latch.SELF)[:, None] & state.faults.latched
    return Durable(
        version=DURABLE_VERSION,
        site=config.site,
        soc=e.soc,
        soc_sigma=e.soc_sigma,
        capacity_Ah=e.capacity_Ah,
        capacity_sigma_Ah=e.capacity_sigma_Ah,
        resistance_scale=e.resistance_scale,
        counters=state.counters,
        latched=tuple((config.faults.name[row], int(string)) for row, string in np.argwhere(kept)),
        tries=state.switches.tries.astype(np.float64),
        closings=state.switches.closings.astype(np.float64),
        openings_under_load=state.switches.openings_under_load.astype(np.float64),
        wear=state.switches.wear,
        current_zero=state.current_zero,
        off_s=float("nan"),
        soc_between_sigma=e.soc_between_sigma,
        wishes=_kept_wishes(state),
    )


def _kept_wishes(state: State) -> Wishes:
    """Return the wishes of a durable record: the hour counted from now, and nobody's wish to close."""
    now, no = state.wishes, np.zeros(state.wishes.closed.shape, bool)
    ahead_ns = np.where(now.full_by_ns < FOREVER, now.full_by_ns - max(state.time_ns, 0), FOREVER)
    return replace(now, closed=no, full_by_ns=ahead_ns, full_ns=np.full(no.shape, FOREVER))


def wished(config: Config, durable: object, now_ns: int) -> Wishes:
    """Return wishes at a start: nothing closes; targets and hours of a record of this site go on.

    An hour that is over by more than GRACE_NS is forgotten. Where nobody knows how long it lay, charging begins at
    once: full too early is better than not.
    """
    fresh = start_wishes(config, fits(config, durable))
    kept = durable.wishes if isinstance(durable, Durable) and durable.site == config.site else None
    same = kept is not None and kept.late.shape == fresh.late.shape and kept.charger_A.shape == fresh.charger_A.shape
    if not (isinstance(durable, Durable) and kept is not None and same):
        return fresh
    unsure = not durable.off_s >= 0.0
    ahead_ns = kept.full_by_ns - (0 if unsure else round(durable.off_s * 1e9))
    asked = (kept.full_by_ns < FOREVER) & (ahead_ns > -GRACE_NS)
    return replace(
        fresh,
        target_soc=kept.target_soc,
        full_by_ns=np.where(asked, now_ns + ahead_ns, FOREVER),
        late=asked & (kept.late | unsure),
        charger_A=kept.charger_A,
    )
