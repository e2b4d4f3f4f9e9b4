"""Lifetime counters and permanent faults survive a restart, an older state file and a state folder that is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.processes.logged import HOME, Run

from cellarer.board import tree
from cellarer.board.lifetime import read_ledger
from cellarer.core import slow
from cellarer.core.cycle import start
from cellarer.history.reader import Reader
from cellarer.history.store import Writer
from cellarer.model.values import Latch
from cellarer.runtime.lifetime import Keeper, places, restored
from cellarer.runtime.recall import recall

CONFIG = HOME.config
PERMANENT = next(n for n, latch in zip(CONFIG.faults.name, CONFIG.faults.latch, strict=True) if latch == Latch.SERVICE)


def record(charge_Ah: float, *latched: str, closings: float = 3.0) -> slow.Durable:
    known = slow.durable(CONFIG, start(CONFIG, 0))
    counters = replace(known.counters, charge_Ah=np.array([charge_Ah]), deep_discharges=np.array([2]))
    return replace(
        known, counters=counters, closings=np.array([closings]), latched=tuple((name, 0) for name in latched)
    )


def begun(durable: slow.Durable | None, where: list[Path]) -> slow.Begin:
    ledger, wrong = read_ledger(where, CONFIG.site)
    assert wrong == []
    return slow.start(CONFIG, restored(CONFIG, durable, ledger), 0)


def test_they_survive_an_older_record_and_none_at_all(tmp_path: Path) -> None:
    where = [tmp_path / "lifetime.json"]
    Keeper(CONFIG, where).take(tree.encode(record(50.0, PERMANENT)), 1)
    row = CONFIG.faults.name.index(PERMANENT)
    for durable in (None, record(10.0, closings=1.0)):
        found = begun(durable, where)
        assert found.counters.charge_Ah.tolist() == [50.0]
        assert found.counters.deep_discharges.tolist() == [2]
        assert found.switches.closings.tolist() == [3]
        assert found.faults.latched[row, 0]
    assert np.isnan(begun(None, where).estimate.soc).all(), "SOC is unknown all the same"
    newer = begun(record(70.0), where)
    assert newer.counters.charge_Ah.tolist() == [70.0]


def event(seq: int, kind: str, name: str, string: int = 1) -> dict[str, object]:
    return {"seq": seq, "unix_s": 1e9 + seq, "kind": kind, "name": name, "pack": 1, "string": string}


def test_an_older_state_folder_is_contradicted_by_the_log_of_events(tmp_path: Path) -> None:
    """Durable record and ledger are of yesterday; the events are not."""
    where, resets = [tmp_path / "lifetime.json"], Latch.RESET
    other = next(n for n, latch in zip(CONFIG.faults.name, CONFIG.faults.latch, strict=True) if latch == resets)
    Keeper(CONFIG, where).take(tree.encode(record(1.0)), 1)
    history, writer = Reader(tmp_path / "history.db"), Writer(tmp_path / "history.db")
    assert recall(CONFIG, where, history) == []
    writer.append_events([event(1, "fault", PERMANENT), event(2, "fault", other)], "control")
    assert writer.flush()
    (told,) = recall(CONFIG, where, history)
    assert PERMANENT in told
    assert begun(record(1.0), where).faults.latched[CONFIG.faults.name.index(PERMANENT), 0]
    assert not begun(record(1.0), where).faults.latched[CONFIG.faults.name.index(other), 0]
    assert recall(CONFIG, where, history) == [], "told once"
    where[0].unlink()
    assert len(recall(CONFIG, where, history)) == 1, "also where there is no ledger any more"
    where[0].unlink()
    writer.append_events([event(3, "clear", PERMANENT)], "control")
    assert writer.close()
    assert recall(CONFIG, where, history) == [], "somebody with the service key cleared it"


def test_a_history_that_cannot_be_read_recalls_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"nonsense" * 1000)
    (told,) = recall(CONFIG, [tmp_path / "lifetime.json"], Reader(tmp_path / "history.db"))
    assert "cannot be asked" in told


def test_only_control_that_had_the_fault_can_clear_it(tmp_path: Path) -> None:
    where = [tmp_path / "lifetime.json"]
    keeper = Keeper(CONFIG, where)
    keeper.take(tree.encode(record(1.0, PERMANENT)), 1)
    keeper.take(tree.encode(record(1.0)), 2)  # control began again, and does not know of it
    assert read_ledger(where, CONFIG.site)[0].holding == [(PERMANENT, 0)]
    keeper.take(tree.encode(record(1.0, PERMANENT)), 2)
    keeper.take(tree.encode(record(1.0)), 2)
    assert read_ledger(where, CONFIG.site)[0].holding == []


def test_a_fault_that_a_reset_clears_is_not_for_life(tmp_path: Path) -> None:
    where = [tmp_path / "lifetime.json"]
    other = next(n for n, latch in zip(CONFIG.faults.name, CONFIG.faults.latch, strict=True) if latch == Latch.RESET)
    Keeper(CONFIG, where).take(tree.encode(record(1.0, other)), 1)
    assert read_ledger(where, CONFIG.site)[0].holding == []


def test_what_the_guard_broke_counts(tmp_path: Path) -> None:
    where = [tmp_path / "lifetime.json"]
    keeper = Keeper(CONFIG, where)
    keeper.take(tree.encode(record(1.0)), 1)
    keeper.broke(0, -31.5)
    keeper.broke(0, None)
    keeper.write(now=True)
    assert begun(None, where).counters.broken_A.tolist() == [31.5]


def test_an_older_record_without_newer_counters_is_filled_with_zeros() -> None:
    known = record(5.0)
    old = replace(known, counters=replace(known.counters, openings=np.zeros(0, np.int64), broken_A=np.zeros(0)))
    found = slow.start(CONFIG, old, 0)
    assert (found.counters.charge_Ah.tolist(), found.counters.openings.tolist()) == ([5.0], [0])


def test_where_copies_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    own = tmp_path / "home" / "lifetime.json"
    assert places(HOME.file, tmp_path / "home", tmp_path) == [own]
    real = HOME.file.model_copy(update={"simulation": None, "keep": ["/media/card"]})
    data, card = tmp_path / "data" / "cellarer" / "home.lifetime.json", Path("/media/card/home.lifetime.json")
    assert places(real, tmp_path / "home", tmp_path) == [own, card, data]
    assert places(real, tmp_path / "else" / "where", tmp_path) == [tmp_path / "else" / "where" / "lifetime.json", card]


def test_deep_discharge_and_openings_are_counted_once(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.cycles(30)
    run.volts -= 0.9
    run.cycles(200)
    run.volts -= 0.5
    run.cycles(200)
    assert run.state.counters.deep_discharges.tolist() == [1]
    run.volts += 1.4
    run.cycles(50)
    assert run.state.counters.overcharges.tolist() == [0]
    assert run.state.counters.charge_Ah[0] > 0.0
