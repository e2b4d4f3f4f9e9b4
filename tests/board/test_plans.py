"""A plan comes through whole; what is no plan of this site, or one without an end, is refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellarer.board.plans import LONGEST_NS, PlanReader, PlanWriter, create_plans
from cellarer.board.ring import RingWriter
from cellarer.model.values import NEVER, Plan, no_plan

NOW = 10**12
GOOD = replace(no_plan(4, 1), expires_ns=NOW + 10**9, bleed_Ah=np.array([0.0, 1.0, 0.0, 2.0]))


def board(tmp_path: Path) -> tuple[Path, PlanReader]:
    create_plans(tmp_path / "plans", 4, 1)
    return tmp_path / "plans", PlanReader(tmp_path / "plans", 4, 1)


def test_the_newest_plan_counts(tmp_path: Path) -> None:
    path, reader = board(tmp_path)
    assert reader.newest(NOW).expires_ns == NEVER
    writer = PlanWriter(path)
    writer.write(no_plan(4, 1))
    writer.write(GOOD)
    found = reader.newest(NOW)
    assert found.expires_ns == GOOD.expires_ns and found.bleed_Ah.tolist() == GOOD.bleed_Ah.tolist()
    assert reader.newest(NOW) is found and not reader.refused
    assert reader.newest(NOW, heard=False).expires_ns == NEVER  # the guard would hand nothing on
    assert reader.newest(NOW) is found


@pytest.mark.parametrize(
    "plan",
    [
        replace(GOOD, bleed_Ah=np.zeros(5)),
        replace(GOOD, bleed_Ah=np.array([0.0, -1.0, 0.0, 0.0])),
        replace(GOOD, bleed_Ah=np.array([0.0, np.inf, 0.0, 0.0])),
        replace(GOOD, move=np.full((2, 4), 1.5)),
        replace(GOOD, move=np.zeros((1, 4))),
        replace(GOOD, preheat_degC=np.zeros(3)),
        replace(GOOD, expires_ns=NOW + 2 * LONGEST_NS),
        replace(GOOD, climate_ns=NOW + 2 * LONGEST_NS),
    ],
)
def test_what_is_no_plan_is_refused_and_the_one_before_forgotten(tmp_path: Path, plan: Plan) -> None:
    path, reader = board(tmp_path)
    writer = PlanWriter(path)
    writer.write(GOOD)
    assert reader.newest(NOW).expires_ns > NOW
    writer.write(plan)
    assert reader.newest(NOW).expires_ns == NEVER
    assert reader.refused


def test_garbage_is_refused(tmp_path: Path) -> None:
    path, reader = board(tmp_path)
    RingWriter(path).write(b"no tree at all, but long enough to be one")
    assert reader.newest(NOW).expires_ns == NEVER
    assert "tree" in reader.refused
