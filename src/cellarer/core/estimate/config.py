"""What the estimator needs to know of a site, packed: tables of the kinds of cells, and which cell is of which kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellarer.core.estimate.equations import START_OFFSET
from cellarer.core.estimate.fields import LANES
from cellarer.core.estimate.tables import CellTables, compile_tables
from cellarer.model.cell import CellModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RECORDED_C = 2.0 * START_OFFSET**0.5  # C: a steady current below two sigmas of the doubt may be an offset (`settle`)


@dataclass(frozen=True, slots=True, eq=False)
class EstimatorConfig:
    """Built by `compile_cells`. Cells are series groups; `parallel` scales current and capacity to one cell."""

    models: Sequence[CellModel]
    tables: CellTables
    cells: int
    lanes: int  # cells, filled up to whole blocks
    kind: Ints  # (lane,) index into models; filler cells are of kind 0
    capacity_Ah: Floats  # (cell,) of the group when new
    parallel: Floats  # (cell,) cells of the model's size; another size of the same cell is a part, or a multiple
    learn_C: float  # a steady current below this may be an offset, where no switch of ours says what is; 0 = none may


def compile_cells(
    models: Sequence[CellModel],
    kind_of_cell: Ints,
    capacity_Ah: Floats,
    parallel: Floats,
    learn_C: float = 0.0,
) -> EstimatorConfig:
    """Pack a site's cells.

    kind_of_cell (cell,) into models; capacity_Ah (cell,) of the series group; parallel (cell,) cells side by side
    """
    kind = np.asarray(kind_of_cell, dtype=np.int64)
    cells = len(kind)
    lanes = -(-max(cells, 1) // LANES) * LANES
    capacity = np.broadcast_to(np.asarray(capacity_Ah, dtype=np.float64), (cells,)).copy()
    side_by_side = np.broadcast_to(np.asarray(parallel, dtype=np.float64), (cells,)).copy()
    if not len(models) or np.any((kind < 0) | (kind >= len(models))):
        raise ValueError(f"kind_of_cell must index the {len(models)} models")
    if not (np.all(capacity > 0.0) and np.all(side_by_side > 0.0)):
        raise ValueError("capacity_Ah and parallel must be above 0")
    full = np.zeros(lanes, dtype=np.int64)
    full[:cells] = kind
    return EstimatorConfig(tuple(models), compile_tables(models), cells, lanes, full, capacity, side_by_side, learn_C)
