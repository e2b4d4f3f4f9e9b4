"""Golden runs: the event list exactly, times to five cycles, final values with tolerance."""

from __future__ import annotations

import json

import pytest
from tests.closed_loop.golden import RUNS, file_of, record


@pytest.mark.parametrize("name", RUNS)
def test_a_run_happens_as_it_happened_before(name: str) -> None:
    kept = json.loads(file_of(name).read_text(encoding="utf-8"))
    now = record(name)
    assert [e[1:] for e in now["events"]] == [e[1:] for e in kept["events"]]
    assert [e[0] for e in now["events"]] == pytest.approx([e[0] for e in kept["events"]], abs=0.1)
    assert now["final"]["phase"] == kept["final"]["phase"] and now["final"]["closings"] == kept["final"]["closings"]
    for value, tolerance in (("soc", 0.01), ("charge_V", 0.5), ("charge_Ah", 0.01), ("discharge_Ah", 0.01)):
        assert now["final"][value] == pytest.approx(kept["final"][value], abs=tolerance)


def test_the_same_seed_gives_the_same_events() -> None:
    assert record("home opened") == record("home opened")
