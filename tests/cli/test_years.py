"""`cellarer simulate --years`: representative days, ageing between them, policies side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cellarer import config
from cellarer.cli import cellarer
from cellarer.commands.console import Mistake
from cellarer.config import ConfigError
from cellarer.config.load import build
from cellarer.lab import tables
from cellarer.runtime import plots, policies, years, years_apart, years_report

HOME = config.load("home")


@pytest.fixture(autouse=True)
def short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of 90 s: what is tested here does not depend on its length."""
    monkeypatch.setattr(years, "DAY_S", 90.0)


@pytest.fixture(scope="module")
def lives() -> years.Lives:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(years, "DAY_S", 90.0)
        return years.live(HOME, 3, 5, policies.fitting(HOME.file.simulation)[:3], days=2)  # type: ignore[arg-type]


def test_capacity_falls_from_year_to_year(lives: years.Lives) -> None:
    s = lives.lives[0].series
    left = np.concatenate([[100.0], s["capacity_pct"]])
    assert (np.diff(left) < 0.0).all() and (np.diff(s["resistance_pct"]) > 0.0).all()
    assert s["capacity_pct"] == pytest.approx(100.0 - s["calendar_loss_pct"] - s["cycle_loss_pct"], abs=1e-9)
    assert (s["weakest_pct"] < s["capacity_pct"]).all()


def test_policies_share_pack_and_weather(lives: years.Lives) -> None:
    alone = years.live(HOME, 3, 5, days=2)
    for name in ("calendar_loss_pct", "discharged_kWh", "cycles"):
        assert lives.lives[0].series[name] == pytest.approx(alone.lives[0].series[name], rel=0.02), name


def test_same_seed_same_life(lives: years.Lives) -> None:
    chosen = [life.policy for life in lives.lives]
    assert years.live(HOME, 3, 5, chosen, days=2).hash == lives.hash
    assert years.live(HOME, 3, 6, chosen, days=2).hash != lives.hash


def test_a_life_begins_balanced_and_known_so_that_no_first_week_counts_as_every_day() -> None:
    made = years.world(HOME, 1, (policies.AS_IS,), years.representative(2))
    assert np.ptp(made.plant.truth.soc) == 0.0
    made.live(60.0, lambda: None)
    assert made.state.estimate.soc == pytest.approx(made.plant.truth.soc, abs=0.01)
    assert not made.state.command.bleed.any()


def test_seasons_bring_warmth_and_long_days() -> None:
    made = years.world(HOME, 1, (policies.AS_IS,), years.representative(4))
    degC = made.ambient()
    assert degC.argmin() in (0, 3) and np.ptp(degC) > 5.0
    assert made.plant.load.daylight_h.argmax() in (1, 2)


def test_a_target_is_asked_for_and_narrow_limits_hold() -> None:
    chosen = [p for p in policies.POLICIES if p.name in ("full", "to 80 %", "gentle")]
    made = years.world(HOME, 1, chosen, years.representative(2))
    made.live(60.0, lambda: None)
    assert made.state.wishes.target_soc == pytest.approx([np.nan, np.nan, 0.8, 0.8, np.nan, np.nan], nan_ok=True)
    assert made.config.limits.rated_charge_A[-1] == pytest.approx(140.0 / 3.0)


def test_a_cell_without_a_law_is_named() -> None:
    table = HOME.file.model_dump(mode="json", exclude_unset=True)
    table["pack"][0] |= {"cell": "naion_hakadi_18650", "limits": {}}
    with pytest.raises(ConfigError, match=r"naion_hakadi_18650.*\[ageing\]"):
        years.world(build(table, "x.toml"), 1, (policies.AS_IS,), years.representative(1))


def test_command_prints_json_table_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(years, "DAYS", 2)
    monkeypatch.setattr(years_apart.os, "sched_getaffinity", lambda pid: {0})  # a second process knows no short days
    out, report = tmp_path / "life.csv", tmp_path / "life.html"
    args = ["simulate", "home", "--years", "1", "--policies", "--json", "--out", str(out), "--report", str(report)]
    done = CliRunner().invoke(cellarer, args)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["policies"][0]["policy"] == "full" and len(found["policies"]) > 3
    assert found["policies"][0]["years_to_80_pct"] is None
    assert len(out.read_text().splitlines()) == 1 + len(found["policies"])
    assert "to 80 %" in report.read_text() and "<svg" in report.read_text()


def test_groups_of_policies_are_joined_in_their_order_and_are_what_each_is(lives: years.Lives) -> None:
    chosen, told = [life.policy for life in lives.lives], list[float]()
    joined = years_apart.compare(HOME, 3, 5, chosen, told.append, jobs=1, days=2)
    assert [life.policy for life in joined.lives] == chosen and told[-1] == 1.0 and told == sorted(told)
    for group, at in ((chosen[:2], 0), (chosen[2:], 2)):
        alone = years.live(HOME, 3, 5, group, days=2)
        for k, life in enumerate(alone.lives):
            np.testing.assert_equal(joined.lives[at + k].series, life.series)
            np.testing.assert_equal(joined.lives[at + k].cells_pct, life.cells_pct)
    assert joined.seen[0] <= lives.seen[0] + 0.1 and len({joined.hash, alone.hash, lives.hash}) == 3
    assert years_apart.compare(HOME, 3, 5, chosen[:1], jobs=2, days=1).lives[0].policy == chosen[0]


def test_days_of_one_policy_live_in_two_groups_and_age_together() -> None:
    told = list[float]()
    apart = years_apart.compare(HOME, 2, 5, [policies.AS_IS], told.append, jobs=1, days=4)
    whole = years.live(HOME, 2, 5, days=4)
    assert told[-1] == 1.0 and told == sorted(told)
    for name in years.FIELDS:  # steps are shared with fewer packs: nothing but the last digits
        assert apart.lives[0].series[name] == pytest.approx(whole.lives[0].series[name], rel=0.02, abs=1e-6), name
    assert apart.lives[0].cells_pct == pytest.approx(whole.lives[0].cells_pct, abs=1e-3)
    assert (apart.days, apart.seen) == (4, pytest.approx(whole.seen, rel=0.05))


def test_days_that_live_in_groups_of_their_own_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def threads() -> Iterator[tuple[ThreadPoolExecutor, list[float]]]:  # a second process knows no short days
        years_apart._share([0.0, 0.0], Pipe())
        with ThreadPoolExecutor(2) as pool:
            yield pool, years_apart._done

    monkeypatch.setattr(years_apart, "_pool", threads)
    one, two = (years_apart.compare(HOME, 2, 5, [policies.AS_IS], jobs=jobs, days=4) for jobs in (1, 2))
    assert one.hash == two.hash and one.steps == two.steps
    monkeypatch.setattr(years.World, "tell_control", lambda made: 1 / int(made.day_of_year[0] > 50))  # one group
    with pytest.raises(ZeroDivisionError):
        years_apart.compare(HOME, 2, 5, [policies.AS_IS], jobs=2, days=4)


def test_what_goes_wrong_in_a_process_of_its_own_is_said() -> None:
    table = HOME.file.model_dump(mode="json", exclude_unset=True)
    table["pack"][0] |= {"cell": "naion_hakadi_18650", "limits": {}}
    for chosen in (policies.fitting(HOME.file.simulation), [policies.AS_IS]):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="ageing"):
            years_apart.compare(build(table, "x.toml"), 1, 1, chosen, jobs=2)


def test_every_policy_has_a_line_of_its_own(lives: years.Lives) -> None:
    many = replace(lives, lives=lives.lives * 3)
    for panel in years_report._against(many):
        assert len({(plots.COLOURS[line.colour], line.dashed) for line in panel.content}) == 9  # type: ignore[union-attr]
    assert len(set(plots.SERIES)) == len(plots.SERIES) >= len(policies.POLICIES)


@pytest.mark.parametrize("args", (["--years", "1.5"], ["--years", "101"], ["--policies"]))
def test_wrong_years_are_refused(args: list[str]) -> None:
    done = CliRunner().invoke(cellarer, ["simulate", "home", *args])
    assert isinstance(done.exception, Mistake) and "years" in str(done.exception)


def test_a_life_is_shown_with_what_others_saw_and_not_as_one_line(lives: years.Lives) -> None:
    life, (least, most) = lives.lives[0], lives.compared or (np.nan, np.nan)
    assert least < 1.0 < most and lives.compared_source
    sides = years_report.band(lives, life)
    assert sides is not None and (sides[1] < life.series["capacity_pct"]).all() and (sides[0] > sides[1]).all()
    assert 100.0 - sides[1] == pytest.approx(most * (100.0 - life.series["capacity_pct"]))
    assert "no knee" in years_report.doubt(lives)
    assert any("no knee" in text for text in years_report.write_up(lives).warnings)
    alone = replace(lives, compared=None)
    assert years_report.band(alone, life) is None and "No other life" in years_report.doubt(alone)


def test_all_days_of_a_year_live_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    weather = years.World.weather
    monkeypatch.setattr(years.World, "weather", lambda made, seed: (seen.extend(made.day_of_year), weather(made, seed)))
    monkeypatch.setattr(years, "YEAR_D", 9.0)
    full = years.live_in_full(HOME, 5, months=3)
    assert {0.5 + k for k in range(9)} <= set(seen) and full.days == 9
    assert full.lives[0].series["capacity_pct"][0] < 100.0


def test_columns_and_end_of_life(lives: years.Lives, tmp_path: Path) -> None:
    columns = years_report.columns(lives)
    assert {len(v) for v in columns.values()} == {9}
    tables.write(tmp_path / "x.csv", columns)
    assert np.isnan(years_report.years_to_end(lives.lives[0]))
    lives.lives[0].series["capacity_pct"][:] = (90.0, 81.0, 79.0)
    assert years_report.years_to_end(lives.lives[0]) == pytest.approx(2.5)
