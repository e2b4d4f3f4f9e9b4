"""[pack.thermal] → ClimateTable: watts that the file does not state are typical of the pack's size (own estimates)."""

import numpy as np

from cellarer.cells import Cell
from cellarer.config.schema import PackFile, SiteFile
from cellarer.model.config import ClimateTable

HEATER_K_PER_S = 15.0 / 3600.0  # heater sized to warm the cells by 15 K in an hour
FLOW_W_PER_KWH = 2.0  # fans of a house of 14 kWh: some 30 W


def climate(site: SiteFile, cells: list[Cell]) -> ClimateTable:
    """Return what heats and cools each pack."""
    packs = list(zip(site.pack, cells, strict=True))
    return ClimateTable(
        heater_W=np.array([_heater_W(pack, cell) if pack.heater else 0.0 for pack, cell in packs]),
        flow_W=np.array([_flow_W(pack, cell) if pack.cooler else 0.0 for pack, cell in packs]),
        chiller_W=np.array([pack.thermal.chiller_W if pack.cooler else 0.0 for pack, _ in packs]),
        coolest_degC=np.array([pack.thermal.coolest_degC for pack, _ in packs]),
        humidity=np.array([(pack.thermal.humidity_max_pct or np.nan) / 100.0 for pack, _ in packs]),
        rest_ns=np.array([round(pack.thermal.rest_s * 1e9) for pack, _ in packs]),
        rest_W=np.array([pack.thermal.rest_W for pack, _ in packs]),
        behind=np.array([pack.thermal.supply == "pack" for pack, _ in packs]),
    )


def _cells(pack: PackFile, cell: Cell) -> float:
    """Return the number of cells of the file's size that the pack is worth."""
    size = pack.capacity_Ah / cell.model.capacity_Ah if pack.capacity_Ah else float(pack.parallel)
    return pack.series * pack.strings * size


def _heater_W(pack: PackFile, cell: Cell) -> float:
    joules = cell.model.heat_capacity_core + cell.model.heat_capacity_surface
    return pack.thermal.heater_W or HEATER_K_PER_S * _cells(pack, cell) * joules


def _flow_W(pack: PackFile, cell: Cell) -> float:
    volts = float(cell.model.ocv[:, cell.model.ocv.shape[1] // 2].mean())
    return pack.thermal.flow_W or FLOW_W_PER_KWH * _cells(pack, cell) * volts * cell.model.capacity_Ah / 1e3
