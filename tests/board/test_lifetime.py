"""The ledger never goes back: whatever copy is old, damaged, missing or put back, the most of all copies counts."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cellarer.board.lifetime import Ledger, read_ledger, write_ledger


def ledger(charge: float, *latched: str) -> Ledger:
    found = Ledger("home")
    found.count("charge_Ah", [charge, 1.0])
    for name in latched:
        found.raise_latch(name)
    return found


def test_an_older_copy_that_is_put_back_takes_nothing_away(tmp_path: Path) -> None:
    places = [tmp_path / "a.json", tmp_path / "elsewhere" / "b.json"]
    write_ledger(places, ledger(10.0))
    old = places[0].read_bytes()
    write_ledger(places, ledger(25.0, "weld 0"))
    places[0].write_bytes(old)
    found, wrong = read_ledger(places, "home")
    assert (found.counters["charge_Ah"], found.holding, wrong) == ([25.0, 1.0], [("weld", 0)], [])
    places[1].unlink()
    assert read_ledger(places, "home")[0].counters["charge_Ah"] == [10.0, 1.0]


def test_a_cleared_fault_stays_cleared_though_an_older_copy_has_it(tmp_path: Path) -> None:
    places = [tmp_path / "a.json", tmp_path / "b.json"]
    write_ledger(places, ledger(1.0, "weld 0"))
    cleared = ledger(1.0, "weld 0")
    cleared.clear_latch("weld 0")
    write_ledger(places[:1], cleared)
    found, _ = read_ledger(places, "home")
    assert found.holding == []
    found.raise_latch("weld 0")
    assert found.holding == [("weld", 0)]


def test_what_is_damaged_or_of_another_site_is_told_and_not_used(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_ledger([path], ledger(5.0))
    whole = path.read_bytes()
    for data, said in [
        (whole[:-9], "damaged"), (whole.replace(b"5.0", b"9.0"), "damaged"), (b"{}", "damaged"), (b"[]", "damaged"),
    ]:  # fmt: skip
        path.write_bytes(data)
        found, wrong = read_ledger([path], "home")
        assert found.counters == {}
        assert said in wrong[0]
    path.write_bytes(whole)
    assert "of the site home" in read_ledger([path], "boat")[1][0]


def test_a_place_that_cannot_be_written_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file" / "a.json", tmp_path / "b.json"]
    wrong = write_ledger(places, ledger(5.0))
    assert len(wrong) == 1
    assert read_ledger(places[1:], "home")[0].counters["charge_Ah"] == [5.0, 1.0]


COUNTS = st.dictionaries(st.sampled_from("ab"), st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
LATCHES = st.dictionaries(st.sampled_from(["x 0", "y 1"]), st.tuples(st.integers(0, 3), st.integers(0, 3)).map(list))
LEDGERS = st.builds(lambda c, x: Ledger("home", c, x), COUNTS, LATCHES)


@given(st.lists(LEDGERS, min_size=1, max_size=4))
def test_merging_knows_no_order_and_never_goes_back(copies: list[Ledger]) -> None:
    one, other = Ledger("home"), Ledger("home")
    for copy in copies:
        one.merge(copy)
    for copy in reversed(copies):
        other.merge(copy)
    assert (one.counters, one.latches) == (other.counters, other.latches)
    for copy in copies:
        for name, values in copy.counters.items():
            assert all(a >= b for a, b in zip(one.counters[name], values, strict=True))
