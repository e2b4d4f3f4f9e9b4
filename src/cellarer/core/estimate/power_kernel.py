"""SOP compiled by numba: power_equations and power_long with scalar look-up and selection bound in, cell by cell."""

from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from cellarer.core.estimate import equations, power_equations, power_long
from cellarer.core.estimate.fields import INDEX, LANES, NODE_WIDTH, ROW_WIDTH, WIDTH
from cellarer.core.estimate.power_equations import MOST_SOC_DOUBT, ROUGH, ROUNDS
from cellarer.core.estimate.power_long import LONG_S, PIECES, TURNS
from cellarer.core.estimate.tables import TEMP_LOW_DEGC, TEMP_POINTS, TEMP_STEP_K
from cellarer.model.cell import SOC_POINTS

# numba's cache looks at this file alone: the stamp, checked by a test, makes it change with the files it is built from.
STAMP = "3841a9ee7c0b"

INLINE: dict[str, Any] = {"error_model": "numpy", "forceinline": True}
TOP = SOC_POINTS - 1
ROW = SOC_POINTS * NODE_WIDTH


@njit(**INLINE)
def look_up(node: Any, rows: Any, kind: int, z: float, temp_degC: float) -> Any:
    """The same as numpy_form.look_up, for one cell, without the columns that SOP does not ask for.

    Places without a sign: else each is asked whether it counts from the end, which no vector does.
    """
    u = min(max(z, -0.05), 1.05) * TOP
    j = min(max(int(u), 0), TOP - 1)
    f = u - j
    w = min(max((temp_degC - TEMP_LOW_DEGC) * (1.0 / TEMP_STEP_K), 0.0), TEMP_POINTS - 1.0)
    r = min(int(w), TEMP_POINTS - 2)
    g = w - r
    line = kind * TEMP_POINTS + r
    a, m = np.uint64((line * SOC_POINTS + j) * NODE_WIDTH), np.uint64(line * ROW_WIDTH)

    def at(x: int) -> float:
        p = a + np.uint64(x)
        q = p + np.uint64(NODE_WIDTH)
        left = node[p] + g * (node[p + np.uint64(ROW)] - node[p])
        right = node[q] + g * (node[q + np.uint64(ROW)] - node[q])
        return float(left + f * (right - left))

    def of(x: int) -> float:
        p = m + np.uint64(x)
        return float(rows[p] + g * (rows[p + np.uint64(ROW_WIDTH)] - rows[p]))

    return at(0), at(1), at(2), at(3), at(4), 0.0, 0.0, at(7), 0.0, of(0), of(1), of(2), of(3)


@njit(**INLINE)
def select(choice: Any, yes: Any, no: Any) -> Any:
    """np.where for scalars."""
    return yes if choice else no


def _bound(function: Any, **names: Any) -> Any:
    return njit(**INLINE)(FunctionType(function.__code__, {**function.__globals__, **COMPILED, **names}))


COMPILED: dict[str, Any] = {
    "look_up": look_up,
    "select": select,
    "decay": njit(**INLINE)(equations.decay),
    "falling": njit(**INLINE)(equations.falling),
    "doubted": njit(**INLINE)(power_equations.doubted),
}
for _room in power_equations, power_long:
    for _part in _room.PARTS:  # each is compiled with those before it
        if _part != "promise":  # below
            COMPILED[_part] = _bound(getattr(_room, _part))
walk_one, fill_one = COMPILED["walk"], COMPILED["fill"]
Z, S1, S2, H, K, OFFSET = (n * LANES for n in range(6))
P00, P44, CAPACITY, DEGC = (INDEX[name] * LANES for name in ("p00", "p44", "capacity", "in_degC"))
FLOW, STRAIN = (INDEX[name] * LANES for name in ("in_i", "strain"))
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": True}


class Cell(NamedTuple):
    """What is asked of a cell, as of `promise`."""

    z: Any
    s1: Any
    s2: Any
    h: Any
    k: Any
    q: Any
    temp_degC: Any
    core_degC: Any
    z_sigma: Any
    k_sigma: Any
    shown: Any
    flow: Any
    strain: Any
    heat_A2: Any
    mapped: Any


class Found(NamedTuple):
    """What comes of it."""

    watts: Any
    ampere: Any
    reason: Any


SIDE = 8  # cells side by side, as many as the widest vectors hold: a column of the scratch table
L, U = SIDE, np.uint64
SCRATCH = 104  # columns: the kind of the cell, then the records below, one after the other


@njit(**INLINE)
def get_cell(d: Any, l: Any) -> Any:
    """Read the columns of Cell in lane l."""
    return Cell(
        d[l + U(1 * L)], d[l + U(2 * L)], d[l + U(3 * L)], d[l + U(4 * L)], d[l + U(5 * L)],
        d[l + U(6 * L)], d[l + U(7 * L)], d[l + U(8 * L)], d[l + U(9 * L)], d[l + U(10 * L)],
        d[l + U(11 * L)], d[l + U(12 * L)], d[l + U(13 * L)], d[l + U(14 * L)], d[l + U(15 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_cell(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(1 * L)], d[l + U(2 * L)], d[l + U(3 * L)], d[l + U(4 * L)], d[l + U(5 * L)],
        d[l + U(6 * L)], d[l + U(7 * L)], d[l + U(8 * L)], d[l + U(9 * L)], d[l + U(10 * L)],
        d[l + U(11 * L)], d[l + U(12 * L)], d[l + U(13 * L)], d[l + U(14 * L)], d[l + U(15 * L)],
    ) = x  # fmt: skip


@njit(**INLINE)
def get_task(d: Any, l: Any) -> Any:
    """Read the columns of Task in lane l."""
    return power_equations.Task(
        d[l + U(16 * L)], d[l + U(17 * L)], d[l + U(18 * L)], d[l + U(19 * L)], d[l + U(20 * L)],
        d[l + U(21 * L)], d[l + U(22 * L)], d[l + U(23 * L)], d[l + U(24 * L)], d[l + U(25 * L)],
        d[l + U(26 * L)], d[l + U(27 * L)], d[l + U(28 * L)], d[l + U(29 * L)], d[l + U(30 * L)],
        d[l + U(31 * L)], d[l + U(32 * L)], d[l + U(33 * L)], d[l + U(34 * L)], d[l + U(35 * L)],
        d[l + U(36 * L)], d[l + U(37 * L)], d[l + U(38 * L)], d[l + U(39 * L)], d[l + U(40 * L)],
        d[l + U(41 * L)], d[l + U(42 * L)], d[l + U(43 * L)], d[l + U(44 * L)], d[l + U(45 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_task(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(16 * L)], d[l + U(17 * L)], d[l + U(18 * L)], d[l + U(19 * L)], d[l + U(20 * L)],
        d[l + U(21 * L)], d[l + U(22 * L)], d[l + U(23 * L)], d[l + U(24 * L)], d[l + U(25 * L)],
        d[l + U(26 * L)], d[l + U(27 * L)], d[l + U(28 * L)], d[l + U(29 * L)], d[l + U(30 * L)],
        d[l + U(31 * L)], d[l + U(32 * L)], d[l + U(33 * L)], d[l + U(34 * L)], d[l + U(35 * L)],
        d[l + U(36 * L)], d[l + U(37 * L)], d[l + U(38 * L)], d[l + U(39 * L)], d[l + U(40 * L)],
        d[l + U(41 * L)], d[l + U(42 * L)], d[l + U(43 * L)], d[l + U(44 * L)], d[l + U(45 * L)],
    ) = x  # fmt: skip


@njit(**INLINE)
def get_search(d: Any, l: Any) -> Any:
    """Read the columns of Search in lane l."""
    return power_equations.Search(
        d[l + U(46 * L)], d[l + U(47 * L)], d[l + U(48 * L)], d[l + U(49 * L)], d[l + U(50 * L)],
        d[l + U(51 * L)], d[l + U(52 * L)], d[l + U(53 * L)], d[l + U(54 * L)], d[l + U(55 * L)],
        d[l + U(56 * L)], d[l + U(57 * L)], d[l + U(58 * L)], d[l + U(59 * L)], d[l + U(60 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_search(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(46 * L)], d[l + U(47 * L)], d[l + U(48 * L)], d[l + U(49 * L)], d[l + U(50 * L)],
        d[l + U(51 * L)], d[l + U(52 * L)], d[l + U(53 * L)], d[l + U(54 * L)], d[l + U(55 * L)],
        d[l + U(56 * L)], d[l + U(57 * L)], d[l + U(58 * L)], d[l + U(59 * L)], d[l + U(60 * L)],
    ) = x  # fmt: skip


@njit(**INLINE)
def get_found(d: Any, l: Any) -> Any:
    """Read the columns of Found in lane l."""
    return Found(
        d[l + U(61 * L)], d[l + U(62 * L)], d[l + U(63 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_found(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(61 * L)], d[l + U(62 * L)], d[l + U(63 * L)],
    ) = x  # fmt: skip


@njit(**INLINE)
def get_long(d: Any, l: Any) -> Any:
    """Read the columns of LongTask in lane l."""
    return power_long.LongTask(
        d[l + U(64 * L)], d[l + U(65 * L)], d[l + U(66 * L)], d[l + U(67 * L)], d[l + U(68 * L)],
        d[l + U(69 * L)], d[l + U(70 * L)], d[l + U(71 * L)], d[l + U(72 * L)], d[l + U(73 * L)],
        d[l + U(74 * L)], d[l + U(75 * L)], d[l + U(76 * L)], d[l + U(77 * L)], d[l + U(78 * L)],
        d[l + U(79 * L)], d[l + U(80 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_long(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(64 * L)], d[l + U(65 * L)], d[l + U(66 * L)], d[l + U(67 * L)], d[l + U(68 * L)],
        d[l + U(69 * L)], d[l + U(70 * L)], d[l + U(71 * L)], d[l + U(72 * L)], d[l + U(73 * L)],
        d[l + U(74 * L)], d[l + U(75 * L)], d[l + U(76 * L)], d[l + U(77 * L)], d[l + U(78 * L)],
        d[l + U(79 * L)], d[l + U(80 * L)],
    ) = x  # fmt: skip


@njit(**INLINE)
def get_seek(d: Any, l: Any) -> Any:
    """Read the columns of LongSearch in lane l."""
    return power_long.LongSearch(
        d[l + U(81 * L)], d[l + U(82 * L)], d[l + U(83 * L)], d[l + U(84 * L)], d[l + U(85 * L)],
        d[l + U(86 * L)], d[l + U(87 * L)], d[l + U(88 * L)], d[l + U(89 * L)], d[l + U(90 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_seek(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(81 * L)], d[l + U(82 * L)], d[l + U(83 * L)], d[l + U(84 * L)], d[l + U(85 * L)],
        d[l + U(86 * L)], d[l + U(87 * L)], d[l + U(88 * L)], d[l + U(89 * L)], d[l + U(90 * L)],
    ) = x  # fmt: skip


@njit(**INLINE)
def get_march(d: Any, l: Any) -> Any:
    """Read the columns of March in lane l."""
    return power_long.March(
        d[l + U(91 * L)], d[l + U(92 * L)], d[l + U(93 * L)], d[l + U(94 * L)], d[l + U(95 * L)],
        d[l + U(96 * L)], d[l + U(97 * L)], d[l + U(98 * L)], d[l + U(99 * L)], d[l + U(100 * L)],
        d[l + U(101 * L)], d[l + U(102 * L)], d[l + U(103 * L)],
    )  # fmt: skip


@njit(**INLINE)
def put_march(d: Any, l: Any, x: Any) -> None:
    """Write them."""
    (
        d[l + U(91 * L)], d[l + U(92 * L)], d[l + U(93 * L)], d[l + U(94 * L)], d[l + U(95 * L)],
        d[l + U(96 * L)], d[l + U(97 * L)], d[l + U(98 * L)], d[l + U(99 * L)], d[l + U(100 * L)],
        d[l + U(101 * L)], d[l + U(102 * L)], d[l + U(103 * L)],
    ) = x  # fmt: skip


def _apart(_: Any) -> Any:
    def lower(context: Any, builder: Any, *_: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        for arg in builder.function.args:
            if arg.type.is_pointer:
                arg.add_attribute("noalias")
        return context.get_dummy_value()

    return types.none(), lower


# The function that calls it uses vectors of 512 bit, and no array of its own overlaps another: tables are read by lane
side_by_side: Any = intrinsic(_apart)
SWEEP: dict[str, Any] = {"error_model": "numpy", "nogil": True}
posed, begin, rough, careful, fine, held = (
    COMPILED[name] for name in ("posed", "begin", "rough", "careful", "fine", "held")
)
begin_long, depart, march, arrive, held_long, on_map = (
    COMPILED[name] for name in ("begin_long", "depart", "march", "arrive", "held_long", "on_map")
)


@njit(**SWEEP)
def all_begin(d: Any, node: Any, rows: Any, bounds: Any, width: int, sign: float, horizon_s: float,
              doubt: float) -> None:  # fmt: skip
    """Lay out the search of every lane."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        kind, x = int(d[l]), get_cell(d, l)
        seen, rated, why, room, limit = posed(
            node, rows, kind, bounds, kind * width, x.mapped, x.z, x.s1, x.s2, x.h, x.k, x.q, x.temp_degC, x.core_degC,
            x.z_sigma, x.k_sigma, x.shown, x.flow, x.strain, x.heat_A2, sign, doubt,
        )  # fmt: skip
        task, search = begin(
            node, rows, kind, x.z, x.s1, x.s2, x.h, x.k, x.q, x.temp_degC, x.z_sigma, x.k_sigma, seen, rated, why,
            room, limit, sign, horizon_s,
        )  # fmt: skip
        put_task(d, l, task)
        put_search(d, l, search)


@njit(**SWEEP)
def all_rough(d: Any, node: Any, rows: Any, sign: float) -> None:
    """Take a rough turn in every lane."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_search(d, l, rough(node, rows, int(d[l]), get_task(d, l), get_search(d, l), sign))


@njit(**SWEEP)
def all_careful(d: Any, node: Any, rows: Any, sign: float, horizon_s: float, doubt: float) -> None:
    """Give every lane its margin."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_search(d, l, careful(node, rows, int(d[l]), get_task(d, l), get_search(d, l), sign, horizon_s, doubt))


@njit(**SWEEP)
def all_fine(d: Any, node: Any, rows: Any, sign: float) -> None:
    """Take a fine turn in every lane."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_search(d, l, fine(node, rows, int(d[l]), get_task(d, l), get_search(d, l), sign))


@njit(**SWEEP)
def all_held(d: Any, sign: float) -> None:
    """Say what every lane found."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_found(d, l, held(get_task(d, l), get_search(d, l), sign))


@njit(**SWEEP)
def all_begin_long(d: Any, node: Any, rows: Any, bounds: Any, width: int, sign: float, horizon_s: float,
                   doubt: float) -> None:  # fmt: skip
    """Lay out the search of every lane over a long horizon."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        kind, x = int(d[l]), get_cell(d, l)
        _seen, rated, why, room, limit = posed(
            node, rows, kind, bounds, kind * width, x.mapped, x.z, x.s1, x.s2, x.h, x.k, x.q, x.temp_degC, x.core_degC,
            x.z_sigma, x.k_sigma, x.shown, x.flow, x.strain, x.heat_A2, sign, doubt,
        )  # fmt: skip
        task, search = begin_long(
            node, rows, kind, x.z, x.s1, x.s2, x.h, x.k, x.q, x.temp_degC, x.z_sigma, x.k_sigma, rated, why,
            room, limit, sign, horizon_s, doubt,
        )  # fmt: skip
        put_long(d, l, task)
        put_seek(d, l, search)


@njit(**SWEEP)
def all_depart(d: Any, sign: float) -> None:
    """Begin a march in every lane."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_march(d, l, depart(get_long(d, l), get_seek(d, l), sign))


@njit(**SWEEP)
def all_march(d: Any, node: Any, rows: Any, piece: float, sign: float) -> None:
    """March a piece in every lane."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_march(d, l, march(node, rows, int(d[l]), get_long(d, l), get_seek(d, l), get_march(d, l), piece, sign))


@njit(**SWEEP)
def all_arrive(d: Any, node: Any, rows: Any, sign: float, horizon_s: float, doubt: float, ahead: float, fresh: float,
               doubts: float) -> None:  # fmt: skip
    """End a march in every lane."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        task, search, marched = get_long(d, l), get_seek(d, l), get_march(d, l)
        put_seek(
            d, l, arrive(node, rows, int(d[l]), task, search, marched, sign, horizon_s, doubt, ahead, fresh, doubts)
        )


@njit(**SWEEP)
def all_held_long(d: Any, sign: float) -> None:
    """Say what every lane found."""
    side_by_side()
    for lane in range(SIDE):
        l = np.uint64(lane)
        put_found(d, l, held_long(get_long(d, l), get_seek(d, l), sign))


@njit(**SWEEP)
def search(d: Any, node: Any, rows: Any, bounds: Any, width: int, sign: float, horizon_s: float, doubt: float) -> None:
    """Go the way of power_long.promise, all lanes of the scratch table at once."""
    if horizon_s >= LONG_S:
        all_begin_long(d, node, rows, bounds, width, sign, horizon_s, doubt)
        for ahead, fresh, doubts in TURNS:
            all_depart(d, sign)
            for piece in PIECES:
                all_march(d, node, rows, piece, sign)
            all_arrive(d, node, rows, sign, horizon_s, doubt, ahead, fresh, doubts)
        all_held_long(d, sign)
        return
    all_begin(d, node, rows, bounds, width, sign, horizon_s, doubt)
    for _ in range(ROUGH):
        all_rough(d, node, rows, sign)
    all_careful(d, node, rows, sign, horizon_s, doubt)
    for _ in range(ROUNDS - ROUGH):
        all_fine(d, node, rows, sign)
    all_held(d, sign)


@njit(**OPTIONS)
def promise(
    buffer: Any, node: Any, rows: Any, kind: Any, bounds: Any, pieces: int, core_degC: Any, heat_A2: Any,
    owner: Any, shown: Any, first: int, horizon_s: float, doubt: float, out: Any,
) -> None:  # fmt: skip
    """Fill out (way, 3, cell) for the cells from `first` on: W, A and reason of one cell of each group.

    bounds (way, kind · columns); heat_A2 (way, string); owner (cell,) string of each cell of the site; shown (cell,)
    """
    width = bounds.shape[1] // (rows.size // (TEMP_POINTS * ROW_WIDTH))
    d = np.empty(SCRATCH * SIDE)
    for way in range(2):
        for begin in range(0, out.shape[2], SIDE):
            here = min(SIDE, out.shape[2] - begin)
            for lane in range(SIDE):  # behind the last cell stands the last again
                l, cell = np.uint64(lane), first + begin + min(lane, here - 1)
                o = cell // LANES * WIDTH + cell % LANES
                temp_degC, d[l] = buffer[o + DEGC], kind[cell]
                put_cell(d, l, Cell(
                    buffer[o + Z], buffer[o + S1], buffer[o + S2], buffer[o + H], buffer[o + K], buffer[o + CAPACITY],
                    temp_degC, core_degC[cell], min(np.sqrt(max(buffer[o + P00], 0.0)), MOST_SOC_DOUBT),
                    np.sqrt(max(buffer[o + P44], 0.0)), shown[cell], buffer[o + FLOW] - buffer[o + OFFSET],
                    buffer[o + STRAIN], heat_A2[way, owner[cell]],
                    on_map(bounds[way], kind[cell] * width, pieces, temp_degC),
                ))  # fmt: skip
            search(d, node, rows, bounds[way], width, 1.0 - 2.0 * way, horizon_s, doubt)
            for lane in range(here):
                found = get_found(d, np.uint64(lane))
                out[way, 0, begin + lane], out[way, 1, begin + lane] = found.watts, found.ampere
                out[way, 2, begin + lane] = found.reason


@njit(**OPTIONS)
def weakest(cells: Any, owner: Any, first: int, least_A: Any, volts: Any, cell: Any, reason: Any) -> None:
    """Work the cells from `first` on, (way, 3, cell) of whole groups, into what each string can do; see power.py."""
    for way in range(cells.shape[0]):
        for n in range(cells.shape[2]):
            string, ampere = owner[first + n], cells[way, 1, n]
            volts[way, string] += cells[way, 0, n] / ampere if ampere > 0.0 else 0.0
            if not (ampere >= least_A[way, string] or np.isnan(least_A[way, string])):
                least_A[way, string], cell[way, string] = ampere, first + n
                reason[way, string] = int(cells[way, 2, n])


@njit(**OPTIONS)
def walk(
    buffer: Any, node: Any, rows: Any, kind: Any, ends: Any, mean_A: Any, first: int, idle_C: float, usual_C: float,
    out: Any,
) -> None:  # fmt: skip
    """Fill out (way, 3, cell) for the cells from `first` on: Wh and Ah of one cell of each group, doubt in per cent.

    ends (3, kind) lowest V, highest V, A of a tail; mean_A (cell in out,) A of one cell, + charges; idle_C, usual_C
    what counts as no current
    """
    for n in range(out.shape[2]):
        cell = first + n
        o, which = cell // LANES * WIDTH + cell % LANES, kind[cell]
        z, k, q, temp_degC = buffer[o + Z], buffer[o + K], buffer[o + CAPACITY], buffer[o + DEGC]
        k_sigma, usual, i = np.sqrt(max(buffer[o + P44], 0.0)), usual_C * q, mean_A[n]
        into, outof = i if i > idle_C * q else usual, -i if i < -idle_C * q else usual
        out[0, 0, n], out[0, 1, n], out[0, 2, n] = fill_one(
            node, rows, which, z, k, k_sigma, q, temp_degC, into, ends[1, which], ends[2, which]
        )
        out[1, 0, n], out[1, 1, n], out[1, 2, n] = walk_one(
            node, rows, which, z, k, k_sigma, q, temp_degC, outof, ends[0, which]
        )
