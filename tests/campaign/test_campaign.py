"""The short form of the campaign: faults are seen and answered in time, pairs stay safe, quiet hours are quiet."""

from __future__ import annotations

import json
from functools import cache, partial
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from cellarer import config
from cellarer.cli import cellarer
from cellarer.config import check
from cellarer.core import validate
from cellarer.runtime import (
    campaign,
    campaign_array,
    campaign_plot,
    campaign_quiet,
    campaign_report,
    campaign_shots,
    campaign_wires,
)
from cellarer.runtime import campaign_world as worlds
from cellarer.runtime.campaign_cases import CASES, MODES, UNSEEN
from cellarer.sim.catalogue import BY_NAME, FAULTS
from cellarer.wire.devices.periods import periods_s


@cache
def short() -> campaign.Outcome:
    return campaign.campaign(("laptop",), seeds=1, seed=3, quiet_hours=0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_fault_that_can_be_seen_is_seen_by_its_row_and_answered_in_time() -> None:
    figures = campaign.figures(short())
    single = figures["single"]
    assert isinstance(single, dict) and single["injected"] > 50
    assert [s for s in short().shots if s.cause] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_reaction_takes_longer_than_its_bound() -> None:
    measured = [s for s in short().shots if s.reaction_s == s.reaction_s and s.bound_s == s.bound_s]
    assert len(measured) > 40
    assert campaign_report.beyond(short()) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pairs_are_safe_and_nothing_opens_or_warns_in_quiet_hours() -> None:
    out = short()
    assert out.pairs > 50 and out.unsafe == []
    assert (out.openings, out.warnings) == (0, 0) and out.hours >= 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_names_every_fault_and_every_miss() -> None:
    page = campaign_report.page(short())
    assert all(shot.fault.replace("_", " ") in page for shot in short().shots)
    assert all(campaign_report.line(miss) in page for miss in campaign.missed(short()))


def test_every_fault_of_the_catalogue_is_injected_or_its_absence_explained() -> None:
    for name in ("home", "supervised"):
        site = campaign.site_of(name)
        seen = {CASES[row.case].fault for row in campaign.possible((name,))}
        assert seen | set(campaign_shots.unseen(site.config)) == set(BY_NAME)
        assert not seen & set(campaign_shots.unseen(site.config))
    assert {case.fault for case in CASES} <= {fault.name for fault in FAULTS}
    assert not {case.fault for case in CASES} & set(UNSEEN)


def test_a_run_covers_every_pair_of_values_that_can_occur_together() -> None:
    valid = campaign.possible(("home", "laptop"))
    pairs = campaign_array.tuples(valid, 2)
    chosen = campaign_array.array(valid, np.random.default_rng(1), pairs)
    assert set(pairs[chosen].flatten()) == set(pairs.flatten())
    assert len(chosen) < len(valid)
    covered = campaign_array.coverage(valid, chosen)
    assert covered.pairs[0] == covered.pairs[1] and covered.whole == (len(set(chosen)), len(valid))


def test_the_picture_shows_every_reaction_with_budget_and_bound() -> None:
    made = [
        campaign_shots.Shot("home", f"fault_{k}", "charge", "step", "row", "open", 1.0, 0.5, 0.1, 0.2 + k, "control",
                            False, "late" if k else "")
        for k in range(2)
    ]  # fmt: skip
    picture = ElementTree.fromstring(campaign_plot.svg(campaign.Outcome(1, shots=made)))
    drawn = [element.tag.split("}")[1] for element in picture]
    assert drawn.count("circle") == 2
    texts = [element.text for element in picture if element.text]
    assert "fault 0 → row" in texts and "fault 1 → row" in texts


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> partial[campaign.Outcome]:
    """A campaign in standby of every fourth row that can be injected."""
    rows = campaign.possible
    monkeypatch.setattr(campaign, "possible", lambda *of: rows(*of)[::4])
    return partial(campaign.campaign, modes=("standby",))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_seed_gives_the_same_hash_on_any_number_of_processes_and_another_seed_another(
    brief: partial[campaign.Outcome],
) -> None:
    run = partial(brief, ("laptop",), 1, quiet_hours=0.0)
    one, same, other = run(seed=5), run(seed=5, jobs=2), run(seed=6)
    assert len(one.shots) >= 10 and one.hash == same.hash != other.hash


def test_windows_of_signals_are_those_of_the_core() -> None:
    assert round(check.RATE_WINDOW_S * 1e9) == validate.RATE_WINDOW_NS


@pytest.mark.parametrize("name", ["home", "ev", "ebike", "laptop"])
def test_every_row_of_a_shipped_site_keeps_its_budget_at_the_pace_of_its_devices(name: str) -> None:
    site = config.load(name)
    late = [t for t in check.timing(site, periods_s(site.file, site.config.layout)) if not t.ok]
    assert late == []


def test_a_case_names_rows_that_exist() -> None:
    table = config.load("ev").config.faults
    assert {row for case in CASES for row in case.rows} <= set(table.name)
    assert all(set(case.modes) <= set(MODES) for case in CASES)


def test_a_batched_injection_equals_the_same_injection_alone() -> None:
    site = campaign.site_of("ebike")
    found = [(c, campaign_shots.expected(site.config, c, "discharge")) for c in CASES]
    aims = [campaign_shots.Aim((c,), "step", r, (7, k)) for k, (c, r) in enumerate(found) if r is not None and r >= 0]
    results = []
    for numbers in ((0, 1, 2), (2,)):
        made = worlds.settled(worlds.repeated(site, len(numbers)), "discharge", 4, numbers)
        volley = campaign_shots.Volley(site, made, [aims[k] for k in numbers])
        volley.play(2.0)
        results.append((volley.shots("ebike", "discharge"), made))
    assert results[0][0][2] == results[1][0][0] and results[1][0][0].detected_s > 0.0
    batch, alone = (made.state.seen.value[made.config.layout.where["cell_voltage"]] for _, made in results)
    assert np.array_equal(batch[26:39], alone, equal_nan=True) and np.isfinite(alone).any()


@pytest.mark.parametrize("name", ["home", "ev", "ebike"])
def test_a_pack_is_repeated_with_devices_of_its_own(name: str) -> None:
    one, many = config.load(name).config, worlds.repeated(config.load(name), 3).config
    assert many.layout.size["pack"] == 3 and many.layout.size["cell"] == 3 * one.layout.size["cell"]
    assert int(many.sensing.present.sum()) == 3 * int(one.sensing.present.sum())
    assert (many.switch.authority == one.switch.authority[0]).all()


def test_a_variant_has_other_cells_or_every_input() -> None:
    home, other, every = (worlds.subject(n) for n in ("home", "home:lto_23ah", "home+all"))
    assert (home.cells[0].model.chemistry, other.cells[0].model.chemistry) == ("LFP", "LTO")
    gas = every.config.layout.where["gas"]
    assert every.config.sensing.present[gas].all() and not home.config.sensing.present[gas].any()


def test_the_guard_of_a_campaign_opens_alone_when_control_does_not_see_it() -> None:
    site = campaign.site_of("laptop")
    made = worlds.settled(worlds.repeated(site, 2), "discharge", 1)
    control_blind = made.config.faults.enabled
    control_blind[:] = False  # this Config is the test's own
    made.plant.inject("cell_overvoltage", 0, 1, 0.3, made.plant.time_s)
    worlds.run(made, 3.0, made.cycle_s)
    assert [("cell over-voltage", string) in made.guards.trips for string in (0, 1)] == [True, False]
    assert not made.orders.charge_switch[0] and made.orders.charge_switch[1]


def _judged(subject: str, mode: str, fault: str) -> list[campaign_shots.Shot]:
    site = campaign.site_of(subject)
    case = next(c for c in CASES if c.fault == fault)
    row = campaign_shots.expected(site.config, case, mode)
    assert row is not None
    made = worlds.settled(worlds.repeated(site, 2), mode, 1)
    volley = campaign_shots.Volley(site, made, [campaign_shots.Aim((case,), "step", row, (1, k)) for k in range(2)])
    volley.play(4.0)
    return volley.shots(subject, mode)


def test_noise_of_one_per_cent_of_the_rating_opens_nothing_at_rest() -> None:
    assert [shot.cause for shot in _judged("home", "standby", "current_noise")] == ["", ""]


def test_wild_samples_on_all_cells_open_nothing() -> None:
    assert [shot.cause for shot in _judged("laptop", "discharge", "voltage_spikes")] == ["", ""]


def test_every_fault_of_every_wire_of_a_site_is_aimed_at() -> None:
    aimed = campaign_wires.aimed(config.load("home"))
    assert {a.device for a in aimed} == {"module 1", "module 2", "shunt", "switch box"}
    assert {a.fault for a in aimed} >= {"frames_lost", "frames_replayed", "frames_corrupt", "bus_off"}
    assert all(a.row for a in aimed)


def test_frames_are_lost_in_quiet_hours_and_the_site_works() -> None:
    task = campaign_quiet.Task("ebike", 0.02, 1, 4)
    calm = campaign_quiet.spend(task)
    assert calm.hours >= 0.02 and (calm.openings, sum(calm.rows.values()), sum(calm.broken.values())) == (0, 0, 0)
    assert calm.looked == calm.inside > 0


def test_a_true_soc_outside_of_two_sigma_is_a_miss() -> None:
    out = campaign.Outcome(1, calm=[campaign_quiet.Calm("laptop", 1.0, looked=100, inside=90)])
    assert campaign.missed(out) == [] and out.inside == 0.9
    out.calm[0].inside = 89
    (miss,) = campaign.missed(out)
    assert (miss["site"], miss["times"]) == ("laptop", 11)
    assert "two sigma" in campaign_report.line(miss)


@pytest.mark.slow
def test_the_command_prints_one_line_of_json(monkeypatch: pytest.MonkeyPatch, brief: partial[campaign.Outcome]) -> None:
    monkeypatch.setattr(campaign, "campaign", brief)
    arguments = ["campaign", "laptop", "--json", "--seeds", "1", "--hours", "0", "--jobs", "1"]
    result = CliRunner().invoke(cellarer, arguments)
    assert result.exit_code == 0
    line = json.loads(result.stdout)
    assert set(line) == {"single", "slow", "pairs", "quiet", "seed", "hash", "missed"}
    assert set(line["single"]) == {"injected", "detected", "right_reaction", "in_budget"}
    assert result.stdout.count("\n") == 1
