"""The short form of the campaign: faults are seen and answered in time, pairs stay safe, quiet hours are quiet."""

from __future__ import annotations

import json
from functools import cache, partial

import pytest
from click.testing import CliRunner

from cellarer import config
from cellarer.cli import cellarer
from cellarer.runtime import campaign, campaign_report, campaign_world
from cellarer.runtime.campaign_cases import CASES, MODES
from cellarer.sim.catalogue import BY_NAME, FAULTS


@cache
def short() -> campaign.Outcome:
    return campaign.campaign(("home",), seeds=1, seed=3, quiet_hours=1.0)


def test_every_fault_that_home_can_see_is_seen_and_answered_in_time() -> None:
    figures = campaign.figures(short())
    single = figures["single"]
    assert isinstance(single, dict) and single["injected"] > 100
    assert [shot for shot in short().shots if shot.cause] == []
    assert single["injected"] == single["detected"] == single["right_reaction"] == single["in_budget"]


def test_nothing_opens_or_warns_in_quiet_hours() -> None:
    assert (short().openings, short().warnings, short().hours) == (0, 0, 1.0)


def test_every_fault_of_the_catalogue_is_injected_or_its_absence_explained() -> None:
    seen = {shot.fault for shot in short().shots}
    assert seen | set(short().unseen["home"]) == set(BY_NAME)
    assert not seen & set(short().unseen["home"])
    assert {case.fault for case in CASES} <= {fault.name for fault in FAULTS}


def test_the_same_seed_gives_the_same_hash_and_another_seed_another() -> None:
    one, same, other = (campaign.campaign(("home",), 1, seed, 0.0, modes=("standby",)) for seed in (5, 5, 6))
    assert one.hash == same.hash != other.hash


def test_a_case_names_rows_that_exist() -> None:
    table = config.load("ev").config.faults
    assert {row for case in CASES for row in case.rows} <= set(table.name)
    assert all(set(case.modes) <= set(MODES) for case in CASES)


def test_a_batched_injection_equals_the_same_injection_alone() -> None:
    site = config.load("home")
    aims = campaign.singles(site.config, "discharge")[:3]
    results = []
    for count in (1, 3):
        made = campaign_world.settled(campaign_world.repeated(site, count), "discharge", 4)
        results.append(campaign.shoot(made, aims[:count], "home", "discharge", (1, 2)))
    assert results[0][0] == results[1][0] and results[0][0].detected_s > 0.0
    assert len({(shot.fault, shot.reaction_s) for shot in results[1]}) == 3


@pytest.mark.parametrize("name", ["home", "ev", "ebike"])
def test_a_pack_is_repeated_with_devices_of_its_own(name: str) -> None:
    one, many = config.load(name).config, campaign_world.repeated(config.load(name), 3).config
    assert many.layout.size["pack"] == 3 and many.layout.size["cell"] == 3 * one.layout.size["cell"]
    assert int(many.sensing.present.sum()) == 3 * int(one.sensing.present.sum())
    assert (many.switch.authority == one.switch.authority[0]).all()


def test_the_command_prints_one_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "campaign", partial(campaign.campaign, modes=("standby",)))
    result = CliRunner().invoke(cellarer, ["campaign", "home", "--json", "--seeds", "1", "--hours", "0"])
    assert result.exit_code == 0
    line = json.loads(result.stdout)
    assert set(line) == {"single", "pairs", "quiet", "seed", "hash", "missed"}
    assert set(line["single"]) == {"injected", "detected", "right_reaction", "in_budget"}
    assert result.stdout.count("\n") == 1


def test_the_page_names_every_fault_and_every_miss() -> None:
    page = campaign_report.page(short())
    assert all(shot.fault.replace("_", " ") in page for shot in short().shots)
    assert all(campaign_report.line(miss) in page for miss in campaign.missed(short()))
