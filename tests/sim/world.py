"""What the tests of the simulated world share: a cell whose numbers can be reckoned by hand, and small sites."""

from __future__ import annotations

import numpy as np

from cellarer import config
from cellarer.model.cell import SOC_POINTS, CellModel
from cellarer.model.config import Config
from cellarer.sim.cells import Cells
from cellarer.sim.plant import Orders, Plant, no_orders
from cellarer.sim.tables import compile_tables, look

OCV0, OCV1, R0, R1, R2, TAU1, TAU2, CAPACITY_AH = 3.0, 4.0, 0.010, 0.006, 0.004, 10.0, 300.0, 5.0


def model(hysteresis: float = 0.0, entropy: float = 0.0, exchange: float = np.inf) -> CellModel:
    """Return a cell with a straight OCV from 3 to 4 V and constant resistances."""
    n = 2
    ones = np.ones((n, SOC_POINTS))
    return CellModel(
        name="plain", title="plain cell", chemistry="NMC", capacity_Ah=CAPACITY_AH, rated_Ah=CAPACITY_AH,
        capacity_sigma=0.02, temp_degC=np.array([0.0, 40.0]),
        ocv=ones * np.linspace(OCV0, OCV1, SOC_POINTS), hysteresis=ones * hysteresis,
        hysteresis_rate=30.0, r0=ones * R0, r1=ones * R1, r2=ones * R2, tau1=np.full(n, TAU1), tau2=np.full(n, TAU2),
        exchange_A=np.full(n, exchange), sigma=np.full(n, 0.005), doubt_degC=np.array([0.0]), doubt=np.zeros(1),
        entropy=np.full(SOC_POINTS, entropy),
        heat_capacity_core=60.0, heat_capacity_surface=5.0, core_to_surface=2.0, surface_to_ambient=3.0,
        self_discharge_per_month=0.0, estimated=(),
    )  # fmt: skip


def members(n: int = 1, soc: float = 0.5, cell: CellModel | None = None) -> Cells:
    """Return n equal single cells at rest at 25 degC."""
    cell = cell or model()
    tables = compile_tables([cell])
    kind, zero, one = np.zeros(n, np.int64), np.zeros(n), np.ones(n)
    socs, core = np.full(n, soc), np.full(n, 25.0)
    return Cells(
        tables=tables, kind=kind, capacity=one * CAPACITY_AH * 3600.0, ohm=one, exchange=one,
        hysteresis_rate=one * cell.hysteresis_rate, leak_A=zero, soc=socs, i1=zero, i2=zero, hysteresis=zero,
        current=zero, looked=look(tables, kind, socs, core), emf_add=zero,
    )  # fmt: skip


def site(
    kind: str = "contactors", cell: str = "lfp_280ah", series: int = 4, parallel: int = 1, strings: int = 1,
    packs: int = 1, apart: bool = False, load: dict[str, object] | None = None, spread: float = 1.0, **pack: object,
) -> config.Site:  # fmt: skip
    """Return a small site that measures everything. apart: each pack has a bus of its own."""
    switchgear: dict[str, object] = {"kind": kind, "break_A": 20.0}
    if kind == "contactors":
        switchgear["resistor_ohm"] = 50.0
    one = {
        "cell": cell, "series": series, "parallel": parallel, "strings": strings, "temperature_sensors": 2,
        "switchgear": switchgear, "balancing": {"bleed_mA": 200}, **pack,
    }  # fmt: skip
    table: dict[str, object] = {
        "name": "test",
        "pack": [{"name": f"pack {n + 1}", "bus": n + 1 if apart else 1, **one} for n in range(packs)],
        "signals": [
            "cell_voltage", "temp_degC", "current", "string_voltage", "link_voltage", "feedback_minus",
            "feedback_precharge", "feedback_plus", "cell_open_wire", "insulation", "gas", "emergency_stop",
            "interlock_open", "crash", "current_check", "coolant_degC", "supply_voltage", "foreign_soc",
        ],
        "simulation": {
            "seed": 7, "start_soc_pct": 50.0, "soc_spread_pct": spread, "capacity_spread_pct": spread,
            "resistance_spread_pct": 4.0 * spread, "load": load or {"kind": "constant", "current_A": 0.0},
        },
    }  # fmt: skip
    return config.build(table, "test")


def plant(site_: config.Site, **more: object) -> Plant:
    """Return the world of a site."""
    return Plant(site_.config, site_.file.simulation, **more)  # type: ignore[arg-type]


def free(config_: Config, charge_A: float = 1000.0, discharge_A: float = 1000.0, cell_V: float = 3.6) -> Orders:
    """Return orders that close everything and hardly limit."""
    orders = no_orders(config_)
    for name in ("minus", "plus", "charge_switch", "discharge_switch"):
        getattr(orders, name)[:] = True
    orders.charge_A[:], orders.discharge_A[:] = charge_A, discharge_A
    orders.charge_V[:] = cell_V * config_.series
    return orders


def close(world: Plant, **limits: float) -> Orders:
    """Close all strings by way of the precharge resistor; return the orders that keep them closed."""
    orders = free(world.config, **limits)
    orders.plus[:] = False
    orders.precharge[:] = True
    world.advance(2.0, orders)
    orders.plus[:] = True
    world.advance(0.1, orders)
    orders.precharge[:] = False
    world.advance(0.1, orders)
    return orders
