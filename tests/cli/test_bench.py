"""`cellarer bench`: the keys of the contract, and figures that can be true."""

from __future__ import annotations

import linecache
from types import ModuleType

import pytest

from cellarer.runtime.bench import SIZES, Effort, bench, rate
from cellarer.runtime.bench_limits import operations

SHORT = Effort(seconds=0.02, cycles=(30, 20, 10), many=(20_000,), parts=((16, 40),))


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    return bench(SHORT)


def test_keys_are_those_of_the_contract(found: dict[str, object]) -> None:
    assert list(found) == [
        "ekf_cell_updates_per_s", "simulate_cell_steps_per_s", "replay_cell_updates_per_s", "cycle_ms", "start_s",
        "rss_MB", "baselines",
    ]  # fmt: skip
    sizes = [str(n) for n in SIZES]
    assert sizes == ["16", "1000", "10000"]
    assert list(found["ekf_cell_updates_per_s"]) == list(found["cycle_ms"]) == sizes  # type: ignore[call-overload]
    assert set(found["cycle_ms"]["16"]) == {"p50", "p99"}  # type: ignore[index]


def test_figures_can_be_true(found: dict[str, object]) -> None:
    for rate_per_s in found["ekf_cell_updates_per_s"].values():  # type: ignore[attr-defined]
        assert 1e5 < rate_per_s < 1e10
    for size in found["cycle_ms"].values():  # type: ignore[attr-defined]
        assert 0.0 < size["p50"] <= size["p99"]
    assert 0.05 < found["start_s"] < 60.0  # type: ignore[operator]
    assert 30.0 < found["rss_MB"] < 1000.0  # type: ignore[operator]


def test_rate_counts_units_over_time() -> None:
    work = [0]

    def fresh():  # type: ignore[no-untyped-def]
        def count() -> None:
            work[0] += sum(range(10_000)) > 0

        return count

    slow, quick = rate(fresh, 1.0, 0.05), rate(fresh, 10.0, 0.05)
    assert quick == pytest.approx(10.0 * slow, rel=0.9)
    assert work[0] > 10


def test_baselines_compare_in_the_same_run(found: dict[str, object]) -> None:
    base = found["baselines"]
    assert isinstance(base, dict)
    assert list(base["ekf_cell_updates_per_s"]) == ["20000"]
    assert base["over_filterpy"] > base["over_numpy"] > 1.0 or not base["compiled"]
    assert base["machine_p99_over_p50"] >= 1.0
    for spent in base["cycle_parts_us"].values():
        assert min(spent.values()) > 0.0
        assert {"measure", "protect", "estimate", "limit", "rest"} <= set(spent)
    roof = base["roofline"]
    assert 300 < roof["operations_per_update"] < 1500
    assert roof["bytes_per_update"] > 8 * 60
    assert roof["memory_bound_per_s"] == pytest.approx(roof["triad_GB_per_s"] * 1e9 / roof["bytes_per_update"])
    assert 0.1 < roof["triad_GB_per_s"] < 10_000.0


def test_operations_are_counted_through_calls() -> None:
    module = ModuleType("counted")
    source = "def part(y):\n    return y * y + 1.0\ndef advance(a, b):\n    return part(a) - part(b) / a\n"
    linecache.cache["counted.py"] = (len(source), None, source.splitlines(keepends=True), "counted.py")
    exec(compile(source, "counted.py", "exec"), module.__dict__)
    module.__file__ = "counted.py"
    assert operations(module) == 2 * 2 + 2
