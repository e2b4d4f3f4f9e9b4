"""A site over years: representative days through the full cycle, the ageing law between them.

The days of one year are packs side by side, each on its own bus with its own weather: `step()` and the world run once
for all of them, and for all policies that are compared. After each year their stress, averaged and stretched to the
year, ages the cells; charge and control go on from the same day of the year before. Between two years control is told
the capacity and resistance it would have learnt from the days that are left out. A life begins with a pack that is
balanced and known: what the first week bleeds would else count as every day's.
"""

import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cellarer.cells.ageing import AgeingLaw
from cellarer.config import ConfigError, Site
from cellarer.config.load import build
from cellarer.config.schema import SimulationFile, YearFile
from cellarer.core import estimate as estimators
from cellarer.core import slow
from cellarer.core.asked import no_requests
from cellarer.core.cycle import Inputs, start, step
from cellarer.model.config import Config
from cellarer.model.values import FOREVER, Plan, Requests, State, no_plan
from cellarer.plan.balance import LEAVE
from cellarer.runtime.campaign_world import repeated
from cellarer.runtime.planner import Planner
from cellarer.runtime.policies import AS_IS, Policy
from cellarer.runtime.simulate import CALM_S, GROWTH, LONGEST_S, RESTING
from cellarer.sim import noise, profiles
from cellarer.sim.ageing import Ageing
from cellarer.sim.plant import Orders, Plant, no_orders, orders_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[float], None]

DAY_S, YEAR_D = 86400.0, 365.25
DAYS = 12  # representative days of a year
MONTHS = 12  # parts of a year in full
SETTLE = 2  # days before the first one that counts
MOVING_S = 10.0  # longest step while somebody drives, rides or works; the energy of a step is exact at any length
WARMEST_H = 15.0
WEATHER = 41  # purpose of random numbers, as in sim/loads.py
KNOWN = 0.02  # 1: sigma of the capacity that control is told, and of the SOC that it begins with
FIELDS = (
    "capacity_pct", "weakest_pct", "usable_pct", "resistance_pct", "calendar_loss_pct", "cycle_loss_pct", "cycles",
    "charged_kWh", "discharged_kWh", "lost_kWh", "climate_kWh", "balancing_h", "soc_mean_pct", "temp_mean_degC",
    "temp_high_degC",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Life:
    """One pack under one policy. `series` maps FIELDS to (year,): at its end, or over it (kWh, hours, means)."""

    policy: Policy
    series: dict[str, Floats]
    cells_pct: Floats  # (cell,) capacity left at the end


@dataclass(frozen=True, slots=True, eq=False)
class Lives:
    """Several policies on the same pack under the same weather."""

    site: Site
    seed: int
    years: float
    days: int  # simulated of each year
    steps: int
    lives: tuple[Life, ...]
    seen: tuple[float, float, float]  # lowest and highest temperature of a cell, degC; highest rate, 1/h
    beyond: tuple[str, ...]  # where the law is used outside the tests that it comes from
    source: str
    hash: str
    compared: tuple[float, float] | None  # least and most that others saw lost, per loss by the law
    compared_source: str


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What was kept of lives of some days of the year, or all of them."""

    rows: Floats  # (year, field, life)
    loss: Floats  # of capacity at the end, (life, cell)
    seen: tuple[float, float, float]  # as of Lives
    steps: int


@dataclass(slots=True)
class World:
    """Plant, control and the day of the year that each pack lives; packs are lives × days."""

    config: Config
    plant: Plant
    ageing: Ageing
    policies: Sequence[Policy]
    year: YearFile
    mean_degC: float
    start_hour: float
    day_of_year: Floats  # (pack,)
    state: State
    orders: Orders
    departs_s: float  # between departures
    plans: Callable[[State], Plan]
    departed: int = -1
    steps: int = 0
    sums: dict[str, Floats] = field(default_factory=dict)  # (pack,) over the seconds counted

    def live(self, seconds: float, progress: Callable[[], None]) -> None:
        """Let time pass; stress and sums are gathered."""
        end_s, dt_s = self.plant.time_s + seconds, self.config.cycle_ns * 1e-9
        none = no_plan(self.config.layout.size["cell"], self.day_of_year.size)
        while self.plant.time_s < end_s - 1e-6:
            dt_s = min(dt_s, end_s - self.plant.time_s)
            self.plant.fixed.ambient_degC = self.ambient()
            self.plant.advance(dt_s, self.orders)
            self.ageing.note(dt_s)
            self.count(dt_s)
            plan = self.plans(self.state) if self.state.cycle else none
            inputs = Inputs(self.plant.sample(), self.asked(), plan)
            self.state, command, events = step(self.config, self.state, inputs, self.plant.time_ns)
            self.orders = orders_of(command)
            dt_s, self.steps = self.next_step(bool(events), dt_s), self.steps + 1
            if self.steps % 50 == 0:
                progress()

    def ambient(self) -> Floats:
        """Return the temperature around each pack now, (pack,) degC."""
        hour = self.start_hour + self.plant.time_s / 3600.0
        season = np.cos(2.0 * np.pi * (self.day_of_year - self.year.coldest_day) / YEAR_D)
        time_of_day = np.cos(2.0 * np.pi * (hour - WARMEST_H) / 24.0)
        return np.asarray(self.mean_degC - self.year.swing_K * season + self.year.daily_K * time_of_day)

    def weather(self, seed: int) -> None:
        """Give each bus the sky of its day of the year and the length of that day."""
        load, away = self.plant.load, (self.day_of_year - self.year.coldest_day) / YEAR_D
        load.keys = noise.mix(seed, np.rint(self.day_of_year).astype(np.int64), WEATHER)
        load.daylight_h = profiles.DAYLIGHT_MEAN_H - self.year.daylight_swing_h * np.cos(2.0 * np.pi * away)
        load.day = None

    def asked(self) -> Requests:
        """Return what people ask for: close, the target, and at each departure to be full at the next one."""
        departed = int((self.plant.time_s + 1e-6) // self.departs_s)
        if departed == self.departed:
            return no_requests(self.config)
        self.departed, packs = departed, len(self.policies)
        days = self.day_of_year.size // packs
        yes = np.ones(self.day_of_year.size, bool)
        due_ns = round((departed + 1) * self.departs_s * 1e9)
        full_by = np.array([due_ns if policy.just_in_time else FOREVER for policy in self.policies])
        return replace(
            no_requests(self.config), close=yes, confirm_unknown_soc=yes,
            target_soc=np.repeat([policy.target_soc for policy in self.policies], days),
            full_by_ns=np.repeat(full_by, days),
        )  # fmt: skip

    def next_step(self, happened: bool, dt_s: float) -> float:
        """Return how long nothing needs to be decided, s; faults are confirmed at CALM_S."""
        if not np.isin(self.state.switches.phase, RESTING).all():
            return self.config.cycle_ns * 1e-9
        doubted = (self.state.faults.bad_since_ns < FOREVER) & ~self.state.faults.active
        if doubted.any() or happened:
            return CALM_S
        asks, plugged, _ = self.plant.load.facts(self.plant.time_s)
        moving = asks and not plugged and self.plant.load.round is not None
        return min(dt_s * GROWTH, MOVING_S if moving else LONGEST_S)

    def count(self, dt_s: float) -> None:
        """Add a step to the sums."""
        plant, layout, groups = self.plant, self.config.layout, self.plant.groups
        cell_degC = np.add.reduceat(plant.heat.core_degC, groups.first) / groups.parallel
        add = {
            "seconds": np.full(self.day_of_year.size, dt_s),
            "balancing_s": dt_s * (np.add.reduceat(plant.bleeding, layout.first_cell) > 0),
            "degC_s": dt_s * layout.total(cell_degC) / self.config.series,
            "soc_s": dt_s * layout.total(groups.fold(plant.cells.soc) / groups.parallel) / self.config.series,
        }
        for name, value in add.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        high = np.maximum.reduceat(cell_degC, layout.first_cell)
        self.sums["high_degC"] = np.maximum(self.sums.get("high_degC", -np.inf), high)

    def tell_control(self) -> None:
        """Let control know what it would have learnt: capacity and resistance as they are now."""
        tables, said, truth = slow.compiled(self.config), self.state.estimate, self.plant.truth
        estimator = estimators.init(
            tables, said.soc, said.soc_sigma, capacity_Ah=truth.capacity_Ah,
            capacity_sigma_Ah=KNOWN * truth.capacity_Ah, resistance_scale=truth.resistance_scale,
        )  # fmt: skip
        self.state = replace(self.state, estimator=estimator)


def world(site: Site, seed: int, policies: Sequence[Policy], day_of_year: Floats) -> World:
    """Return a world of one pack for every policy and day, just begun. Raises ConfigError when the cell has no law."""
    simulation = site.file.simulation or SimulationFile()
    many = _many(site, policies, day_of_year.size)
    law = many.cells[0].ageing
    if law is None:
        cell = site.file.pack[0].cell
        raise ConfigError(site.path, "pack[1].cell", cell, "a cell whose file has [ageing], for runs over years")
    config, packs = many.config, day_of_year.size * len(policies)
    plant = Plant(config, many.file.simulation, seed, numbers=[0] * packs)
    trips = simulation.year.trips_per_day or simulation.load.trips_per_day or 1.0
    soc = np.full(config.layout.size["cell"], simulation.start_soc_pct / 100.0)
    plant.set_soc(soc)
    truth = plant.truth
    known = replace(
        slow.durable(config, start(config, 0)), soc=soc, soc_sigma=np.full(soc.size, KNOWN),
        soc_between_sigma=np.full(soc.size, LEAVE), capacity_Ah=truth.capacity_Ah,
        capacity_sigma_Ah=KNOWN * truth.capacity_Ah, resistance_scale=truth.resistance_scale, off_s=0.0,
    )  # fmt: skip
    made = World(
        config=config, plant=plant, ageing=Ageing(plant, law, len(policies), seed),
        policies=policies, year=simulation.year, mean_degC=simulation.ambient_degC, start_hour=simulation.start_hour,
        day_of_year=np.tile(day_of_year, len(policies)), state=start(config, 0, known), orders=no_orders(config),
        departs_s=DAY_S / trips, plans=Planner(config),
    )  # fmt: skip
    made.weather(seed)
    return made


def _many(site: Site, policies: Sequence[Policy], days: int) -> Site:
    """Return a site with the first pack once for every policy and day."""
    table = repeated(site, days * len(policies)).file.model_dump(mode="json", exclude_unset=True)
    rated = float(site.config.limits.rated_charge_A[0])
    for k, pack in enumerate(table["pack"]):
        share = policies[k // days].charge_share
        if share < 1.0:
            pack["limits"] = pack.get("limits", {}) | {"charge_A": rated * share}
    trips = table["simulation"].get("year", {}).get("trips_per_day")
    if trips is not None:
        table["simulation"]["load"]["trips_per_day"] = trips
    return build(table, f"{site.file.name} over years")


def representative(days: int) -> Floats:
    """Return the days of the year that stand for it: the middles of equal parts, (day,)."""
    return (np.arange(days) + 0.5) * YEAR_D / days


def live(
    site: Site, years: int, seed: int, policies: Sequence[Policy] = (AS_IS,), days: int = DAYS,
    progress: Progress = lambda fraction: None,
) -> Lives:  # fmt: skip
    """Run every policy over so many years."""
    kept = together([living(site, years, seed, policies, representative(days), progress)])
    return told(site, seed, years, days, policies, kept)


def living(
    site: Site, years: int, seed: int, policies: Sequence[Policy], day_of_year: Floats, progress: Progress
) -> Generator[Floats, Floats, Kept]:  # fmt: skip
    """Live years of these days; after each, yield what they gathered of stress and take what all days did.

    Days before the first year let each pack settle into its day of the year.
    """
    made = world(site, seed, policies, day_of_year)
    total_s = (years + SETTLE) * DAY_S

    def tell() -> None:
        progress(made.plant.time_s / total_s)

    made.live(SETTLE * DAY_S, tell)
    made.ageing.stress, book = made.ageing.begin(), Book(made)
    for _ in range(years):
        made.live(DAY_S, tell)
        made.ageing.grow((yield made.ageing.gathered(1.0)), 1.0)
        made.tell_control()
        book.note(1.0)
    progress(1.0)
    return book.close()


def together(parts: Sequence[Generator[Floats, Floats, Kept]]) -> list[Kept]:
    """Live parts of one year side by side, each year aged by the mean of all."""
    kept, means = list[Kept](), [next(part) for part in parts]
    while not kept:
        mean, means = np.mean(means, axis=0), []
        for part in parts:
            try:
                means.append(part.send(mean))
            except StopIteration as end:
                kept.append(end.value)
    return kept


def live_in_full(
    site: Site, seed: int, months: int = MONTHS, progress: Progress = lambda fraction: None,
    policies: Sequence[Policy] = (AS_IS,),
) -> Lives:  # fmt: skip
    """Run every day of one year: what representative days are compared with.

    The year is cut into `months` equal parts that live side by side, each day after day, so that a step of the world
    serves them all. Whole days: the last day of one part may be the first of the next. Days before the first one let
    each part settle; the law is applied at the end, which gives what nights would: stress adds up in any order.
    """
    first, days = np.floor(np.arange(months) * YEAR_D / months), int(np.ceil(YEAR_D / months))
    made, book = world(site, seed, policies, first + 0.5), None
    for number in range(-SETTLE, days):
        if number == 0:
            made.ageing.stress, book = made.ageing.begin(), Book(made)
        made.day_of_year = np.tile((first + number) % YEAR_D + 0.5, len(policies))
        made.weather(seed)
        made.live(DAY_S, lambda: None)
        progress((number + 1 + SETTLE) / (days + SETTLE))
    assert book is not None
    made.ageing.take(1.0)
    book.note(1.0)
    return told(site, seed, 1.0, days * months, policies, [book.close()])


class Book:
    """Keeps a row per year and life."""

    def __init__(self, made: World) -> None:
        self.made, self.rows = made, list[Floats]()
        made.sums.clear()
        self._begin()

    def _begin(self) -> None:
        plant = self.made.plant
        self.through_Wh, self.capacity = plant.through_Wh.copy(), plant.cells.capacity
        self.used_Wh, self.fed_Wh = plant.heat.used_J.sum(axis=0) / 3600.0, plant.fed_Wh.copy()
        self.stored_Wh = self._stored()

    def _stored(self) -> Floats:
        """Return what the strings hold, (string,) Wh, at the capacity of the begin: capacity lost is no energy lost."""
        cells, layout = self.made.plant.cells, self.made.config.layout
        return layout.total(self.made.plant.groups.fold(cells.soc * self.capacity * cells.looked.ocv)) / 3600.0

    def _mean(self, packs: Floats) -> Floats:
        """Return the mean over the days of each life, (life,)."""
        return np.asarray(packs.reshape(len(self.made.policies), -1).mean(axis=1))

    def note(self, years: float) -> None:
        """Keep what has gathered since the last note, stretched to that many years; (field, life)."""
        made, sums, ageing = self.made, self.made.sums, self.made.ageing
        stretch = years * YEAR_D * DAY_S / self._mean(sums["seconds"])
        charged, discharged = (self._mean(wh) * stretch for wh in made.plant.through_Wh - self.through_Wh)
        fed = self._mean(made.plant.fed_Wh - self.fed_Wh) * stretch  # what the pack gave to keep itself going
        stored = self._mean(self._stored() - self.stored_Wh) * stretch
        climate = self._mean(made.plant.heat.used_J.sum(axis=0) / 3600.0 - self.used_Wh) * stretch
        left, truth = 1.0 - ageing.loss, made.plant.truth
        new_Ah = made.config.capacity_Ah[made.config.layout.first_cell]
        self.rows.append(np.array((
            left.mean(axis=1) * 100.0, left.min(axis=1) * 100.0, self._mean(truth.usable_Ah / new_Ah) * 100.0,
            ageing.rise.mean(axis=1) * 100.0 + 100.0, ageing.calendar_loss.mean(axis=1) * 100.0,
            ageing.cycle_loss.mean(axis=1) * 100.0, ageing.cycles.mean(axis=1),
            charged / 1e3, (discharged - fed) / 1e3, (charged - discharged - stored) / 1e3, climate / 1e3,
            self._mean(sums["balancing_s"]) * stretch / 3600.0,
            self._mean(sums["soc_s"] / sums["seconds"]) * 100.0, self._mean(sums["degC_s"] / sums["seconds"]),
            sums["high_degC"].reshape(len(made.policies), -1).max(axis=1),
        )))  # fmt: skip
        made.sums.clear()
        self._begin()

    def close(self) -> Kept:
        """Return everything."""
        ageing = self.made.ageing
        seen = float(ageing.seen_degC[0]), float(ageing.seen_degC[1]), ageing.seen_rate
        return Kept(np.array(self.rows), ageing.loss, seen, self.made.steps)


def told(
    site: Site, seed: int, years: float, days: int, policies: Sequence[Policy], kept: Sequence[Kept]
) -> Lives:  # fmt: skip
    """Return the lives of which parts of the year were kept: means over the parts, the highest temperature of all."""
    law, rows = site.cells[0].ageing, np.array([part.rows for part in kept])
    assert law is not None  # else nobody lived
    stack, loss, high = rows.mean(axis=0), kept[0].loss, FIELDS.index("temp_high_degC")
    stack[:, high] = rows[:, :, high].max(axis=0)
    lives = tuple(
        Life(policy, {name: stack[:, k, n] for k, name in enumerate(FIELDS)}, (1.0 - loss[n]) * 100.0)
        for n, policy in enumerate(policies)
    )
    seen = widest(kept)
    digest = hashlib.sha256(stack.tobytes() + loss.tobytes()).hexdigest()
    return Lives(site, seed, years, days, sum(part.steps for part in kept), lives, seen, tuple(beyond(law, seen)),
                 law.source, digest, law.compared, law.compared_source)  # fmt: skip


def widest(parts: Sequence[Kept | Lives]) -> tuple[float, float, float]:
    """Return what the cells of all parts have seen, as of Lives."""
    low_degC, high_degC, rate = zip(*(part.seen for part in parts), strict=True)
    return min(low_degC), max(high_degC), max(rate)


def beyond(law: AgeingLaw, seen: tuple[float, float, float]) -> list[str]:
    """Say where the world has been outside the conditions that the law was measured under. seen: as of Lives."""
    low, high, rate = seen
    said = []
    if low < law.measured_degC[0] or high > law.measured_degC[1]:
        said.append(
            f"cells between {low:.0f} and {high:.0f} degC; the law comes from tests between "
            f"{law.measured_degC[0]:g} and {law.measured_degC[1]:g} degC"
        )
    if rate > law.measured_rate_per_h[1]:
        said.append(f"rates up to {rate:.2g}C; the law comes from tests up to {law.measured_rate_per_h[1]:g}C")
    return said
