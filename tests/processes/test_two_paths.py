"""A guard with devices and a field table of its own: what deceives control does not deceive it."""

import json
import os
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.processes.site import Site as Running
from tests.processes.site import running, wait_for

from cellarer import config as configs
from cellarer.board.files import Folder
from cellarer.commands.check import sound
from cellarer.commands.console import Mistake
from cellarer.config import ConfigError
from cellarer.config.load import SITES, Site
from cellarer.guard.limits import parse_limits
from cellarer.model.values import Sample
from cellarer.runtime.campaign_guard import Guards
from cellarer.runtime.clock import Clock
from cellarer.runtime.guard_limits import guard_limits
from cellarer.runtime.process import Run
from cellarer.runtime.supervisor import links_apart, links_of
from cellarer.wire.devices.periods import periods_s

HOME = (SITES / "home.toml").read_text()
OWN = """
[[guard.device]]
name = "module {n} read again"
protocol = "cmu"
link = "battery"
address = {n}
first_cell = {first}
cells = 8
signals = ["cell_voltage"]
"""
PLACES = configs.load("home").config.layout.where["cell_voltage"]
BOTH = "".join(OWN.format(n=n, first=8 * n - 7) for n in (1, 2))
TABLE = """
import dataclasses
from cellarer.wire.protocols.cmu import PROTOCOL as TRUE

def wrong(message):
    fields = [dataclasses.replace(f, offset=f.offset - 0.6) if f.name == "cell_voltage" else f for f in message.fields]
    return dataclasses.replace(message, fields=tuple(fields))

PROTOCOL = dataclasses.replace(TRUE, name="wrong_table", messages=tuple(map(wrong, TRUE.messages)))
"""


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a field table that reads 0.6 V too little, as a package of a site would."""
    found = folder / "wrong_table-1.dist-info"
    found.mkdir(parents=True)
    (folder / "wrong_table.py").write_text(TABLE)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-table\nVersion: 1\n")
    (found / "entry_points.txt").write_text("[cellarer.protocols]\nwrong_table = wrong_table:PROTOCOL\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


def built(extra: str, edit: dict[str, str] | None = None) -> Site:
    text = HOME + extra
    for before, after in (edit or {}).items():
        assert before in text
        text = text.replace(before, after)
    return configs.build(tomllib.loads(text), "two paths")


def limits_of(site: Site, tmp_path: Path) -> dict[str, Any]:
    run = Run(
        name="home", site_json="", state_dir="", config_sha256="ab" * 32, clock=Clock(0, 0.0), socket_fd=-1,
        links=tuple(links_of(site)), links_apart=tuple(links_apart(site)), consent_ns=10**9, drop_ns=10**9,
        close_at_start=False,
    )  # fmt: skip
    return json.loads(json.dumps(guard_limits(site, site.config, run, Folder(tmp_path))))  # type: ignore[no-any-return]


def test_what_the_guard_reads_apart_has_numbers_of_its_own(tmp_path: Path) -> None:
    site, plain = built(BOTH), limits_of(built(""), tmp_path)
    limits = limits_of(site, tmp_path)
    parse_limits(limits)
    beyond = site.config.layout.size["signal"]
    first, count = plain["strings"][0]["cells"]
    assert limits["strings"][0]["cells"] == [beyond + first, count] and limits["strings"][0]["absent"] == []
    assert limits["strings"][0]["temperatures"] == plain["strings"][0]["temperatures"]
    assert limits["strings"][0]["current"] == plain["strings"][0]["current"]
    assert [r["strings"] for r in limits["rings"]] == [[0], []] and plain["rings"] == limits["rings"][:1]
    assert site.config.hash == built("").config.hash, "control knows nothing of it"


def test_an_input_that_only_the_guard_has_is_watched(tmp_path: Path) -> None:
    extra = '[[guard.device]]\nname="g"\nprotocol="switchbox"\nlink="battery"\nsignals=["crash"]\nmax_age_ms=7000\n'
    site = built(extra)
    limits, plain = limits_of(site, tmp_path), limits_of(built(""), tmp_path)
    place = site.config.layout.size["signal"] + site.config.layout.where["crash"].start
    assert limits["packs"][0]["crash"] == place and plain["packs"][0]["crash"] is None
    assert limits["max_age_ns"]["crash"] == 2 * 7000 * 10**6 > plain["max_age_ns"]["crash"]
    assert limits["max_age_ns"]["current"] == plain["max_age_ns"]["current"]


def test_the_slower_of_two_looks_is_the_bound() -> None:
    slow = BOTH.replace("cells = 8", "cells = 8\nperiod_ms = 400")
    for extra, s in (("", 0.1), (slow, 0.4), (BOTH.replace("cells = 8", "cells = 8\nperiod_ms = 50"), 0.1)):
        site = built(extra)
        assert periods_s(site.file, site.config.layout)[site.config.layout.where["cell_voltage"]] == pytest.approx(s)


REFUSED = {
    "half a string": (OWN.format(n=1, first=1), {}, "cell_voltage of string 1 = 8: allowed is none, or all 16"),
    "drives": (BOTH + 'authority = "limit"\n', {}, "authority"),
    "protects": (BOTH + 'protects = ["cell_voltage_high"]\n', {}, "observe"),
    "not the guard's": (BOTH.replace('"cell_voltage"]', '"cell_voltage", "cell_open_wire"]'), {}, "cell_open_wire"),
    "nothing": (BOTH.replace('["cell_voltage"]', "[]"), {}, "signals"),
    "one line, two listeners": (BOTH, {'"bench:battery"': '"serial:/dev/ttyUSB0"'}, "two may listen"),
    "beyond the string": (OWN.format(n=1, first=10), {}, "at most 16"),
    "twice": (BOTH + BOTH.replace("read again", "a third time"), {}, "one device only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    extra, edit, says = REFUSED[case]
    site = built(extra, edit)
    with pytest.raises((ConfigError, Mistake)) as caught:
        sound(site)
    assert says in str(caught.value) and "guard.device" in str(caught.value)


def test_a_link_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"module 1 read again\.link = 'nowhere'"):
        built(BOTH.replace('link = "battery"', 'link = "nowhere"'))


@pytest.mark.parametrize("volts", [3.3, 3.9])
def test_a_campaign_feeds_both(volts: float) -> None:
    site = built(BOTH)
    guards = Guards(site, site.config.cycle_ns)
    sample = Sample(np.full(site.config.layout.size["signal"], 0.0), np.full(site.config.layout.size["signal"], 0))
    sample.value[site.config.layout.where["cell_voltage"]] = volts
    for n in range(1, 5):
        sample.time_ns[:] = n * 10**8
        guards.feed(sample, n * 10**8)
    assert any(rule == "cell over-voltage" for rule, _ in guards.trips) == (volts > 3.8)


def test_a_table_that_reads_too_little_deceives_control_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules say 3.9 V. Control's table makes 3.3 V of it, sees nothing wrong, and asks to close in vain."""
    plug_in(tmp_path / "package", monkeypatch)
    file = tmp_path / "two_paths.toml"
    file.write_text(HOME.replace('"cmu"', '"wrong_table"') + BOTH)

    def over() -> list[str]:
        return [t["text"] for t in site.guard_says().get("trips", ()) if "over-voltage" in t["text"]]

    with running(tmp_path / "state", str(file)) as site:
        assert "cell_voltage" in wait_for("the guard's no", over)[0]
        volts = wait_for("control's cells", lambda: measured(site) > 0.0 and measured(site))
        assert 3.2 < volts < 3.4
        site.ask("confirm")
        site.ask("close")
        time.sleep(2.0)
        assert site.phase == 0 and over() and site.guard_says()["strings"][0]["held"] == 0


def test_both_read_alike_and_close_and_without_its_own_link_the_guard_opens(tmp_path: Path) -> None:
    file = tmp_path / "two_paths.toml"
    file.write_text(HOME + BOTH)
    with running(tmp_path / "state", str(file)) as site:
        site.close()
        assert site.guard_says()["trips"] == []
        link, box = site.switch_box()
        site.listen(link, box, 0.3)
        pid = site.pid("guard:battery")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            assert site.s_until_open(link, box) <= 2.0  # twice the age of a cell voltage, and the wait for low current
            assert any(
                "no data: cell_voltage" in t["text"] for t in wait_for("trips", lambda: site.guard_says()["trips"])
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        link.close()


def measured(site: Running) -> float:
    """Return the highest cell voltage as control has it; below 0 or NaN before it has all."""
    shot = site.snapshot()
    volts = [] if shot is None else shot.state.seen.value[PLACES]
    return float(np.max(volts, initial=-np.inf))
