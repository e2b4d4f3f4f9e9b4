"""What a campaign has to say to people: the table of reaction times, what was missed, and what no site can see."""

import math
from collections.abc import Iterable
from statistics import median

from cellarer.runtime.campaign import SUBJECTS, Outcome, figures, missed, site_of
from cellarer.runtime.campaign_shots import Shot

SLOWLY = "Slow faults"
HEADER = ("fault", "seen by", "reaction", "injected", "answered", "median s", "worst s", "bound s", "budget s", "sites")


def tables(out: Outcome) -> dict[str, list[tuple[str, ...]]]:
    """Return the tables by their titles, those with something in them."""
    own = self_protecting(out)
    fast = [s for s in out.shots if not s.slow]
    found = {
        "Packs that we switch": rows(s for s in fast if s.subject not in own),
        "Packs that protect themselves": rows(s for s in fast if s.subject in own),
        SLOWLY: rows(s for s in (*out.shots, *out.slow) if s.slow),
    }
    return {title: lines for title, lines in found.items() if lines}


def rows(shots: Iterable[Shot]) -> list[tuple[str, ...]]:
    """Return one row per fault and reaction: over all sites, states of the pack, shapes and phases."""
    groups: dict[tuple[str, ...], list[Shot]] = {}
    for shot in shots:
        if shot.fault != "nothing":
            groups.setdefault((shot.fault, shot.row, shot.level), []).append(shot)
    return [_row(key, groups[key]) for key in sorted(groups)]


def _row(key: tuple[str, ...], shots: list[Shot]) -> tuple[str, ...]:
    fault, row, level = key
    times = [s.reaction_s for s in shots if not math.isnan(s.reaction_s)]
    good = sum(not s.cause for s in shots)
    measured = (f"{median(times):.3f}", f"{max(times):.3f}") if times else ("-", "-")
    name = row.removesuffix("_maximum").replace("_", " ") or "nobody: it is borne"
    sites = len({s.subject for s in shots})
    return (fault.replace("_", " "), name, level, str(len(shots)), str(good), *measured,
            _most(s.bound_s for s in shots), _most(s.budget_s for s in shots), str(sites))  # fmt: skip


def _most(values: Iterable[float]) -> str:
    """Return the largest of values that are known: with the site that needs longest."""
    known = [v for v in values if not math.isnan(v)]
    return f"{max(known):.3g}" if known else "-"


def beyond(out: Outcome) -> list[Shot]:
    """Return the shots that took longer than the worst case that `check --timing` names."""
    return [s for s in out.shots if s.reaction_s > s.bound_s + 1e-6]


def confirmed(out: Outcome) -> str:
    """Say how the measured times stand to the bounds of `check --timing`."""
    known = [s for s in out.shots if not math.isnan(s.bound_s) and not math.isnan(s.reaction_s)]
    if not known:
        return "nothing measured"
    worst = max(known, key=lambda s: s.reaction_s / s.bound_s)
    over = beyond(out)
    text = f"{len(known) - len(over)} of {len(known)} measured reactions within the bound of their row and site"
    share = f"{worst.reaction_s / worst.bound_s:.0%} of it"
    return f"{text}; nearest {worst.fault.replace('_', ' ')} on {worst.subject} ({worst.mode}, {worst.shape}): {share}"


def self_protecting(out: Outcome) -> set[str]:
    """Return the subjects whose packs have a BMS of their own that switches them."""
    return {name for name in out.unseen if site_of(name).file.pack[0].switchgear.kind == "none"}


def summary(out: Outcome) -> dict[str, str]:
    """Return the figures in words."""
    f = figures(out)
    single, slow, pairs, quiet = f["single"], f["slow"], f["pairs"], f["quiet"]
    assert isinstance(single, dict) and isinstance(slow, dict) and isinstance(pairs, dict) and isinstance(quiet, dict)
    times = sorted(s.reaction_s / s.budget_s for s in out.shots if s.reaction_s == s.reaction_s)
    p99 = f"; 99 of 100 within {times[int(0.99 * (len(times) - 1))]:.0%} of their budget" if times else ""
    return {
        "single faults": f"{single['injected']} injected, {single['detected']} detected by the expected row, "
        f"{single['right_reaction']} with the right reaction, {single['in_budget']} of them in time{p99}",
        "covered": out.coverage.text() if out.coverage else "nothing",
        "bounds": confirmed(out),
        "random pairs": f"{pairs['injected']} injected, {pairs['unsafe']} unsafe",
        "slow faults": f"{slow['injected']} injected, {slow['detected']} detected, {slow['in_budget']} of them in time",
        "quiet hours": f"{quiet['hours']:g} pack-hours, {quiet['openings']} openings, {quiet['warnings']} warnings; "
        f"true SOC of a cell within two sigma in {_most([100.0 * out.inside])} % of looks",
        "missed": "; ".join(line(m) for m in missed(out)) or "nothing",
        "not injected": "; ".join(f"{site}: {len(why)} faults of the catalogue" for site, why in out.unseen.items()),
        "seed, hash": f"{out.seed}, {out.hash}",
    }


def line(miss: dict[str, object]) -> str:
    """Return a miss in words."""
    if "faults" in miss:
        both = " and ".join(map(str, miss["faults"]))  # type: ignore[call-overload]
        return f"{miss['site']}: {both} ({miss['mode']}, {miss['shape']}): unsafe: {miss['rules']}"
    if miss["cause"] == "quiet hours":
        return f"{miss['site']}: quiet hours: {miss['row']}, {miss['times']} times"
    worst = "" if miss["worst_s"] is None else f", {miss['worst_s']} s of {miss['budget_s']:g} s"
    where = f"{miss['site']}: {miss['fault']} ({miss['mode']}, {miss['shape']})"
    wanted = f", expected {miss['row']}" if miss["row"] else ""
    return f"{where}: {miss['cause']}{wanted}{worst}, {miss['times']} times"


TEXT = """# Reaction times

Written by `cellarer campaign{arguments} --out docs/reaction-times.md`; the same command gives the same table.

Each fault of the simulated world is injected at a random cell and a random phase of sampling and cycle, into packs at
rest, charging and discharging. Sensors are sampled as often as the site's devices do, each at its own phase, with noise
and offset; the real `step()` decides, its consent goes as a wish to the guard, which has its own limits and parser, and
what the guard orders at the gate moves the contacts. Site `home:lto_23ah` is home storage with other cells, `home+all`
with every input that a row can look at.

The time runs from the onset until the expected row is active (inform, warn), the limit is down (derate), or everything
on the path is ordered open and has had its time to open (ramp, open; before ramp opens, the current is given time to
fall). The onset of what ramps or rises is the moment when the threshold is crossed by more than sound sensors can be
wrong; what is seen before that counts from the threshold itself, and no bound is claimed for it. Added to what whole
cycles show: a random part of a cycle, of the guard's look, and the whole opening time of the contacts.

Only the expected row counts, or the guard's rule for the same. A step stays; a ramp takes ten seconds; what is
intermittent is there for a little more than its row's bound and away for a second, again and again: what is shorter
than a debounce is no fault, and must be borne. In a pack that protects itself we only narrow limits: such packs have a
table of their own, and their budget is as long as their own wire needs.

Every cycle of every run, quiet hours and slow faults too, is looked at from outside for what must always hold: no
string closed with cells unknown for more than a second or beyond their maximum in truth; nothing closed against a
fault, without precharge, a wish or authority; limits above zero nowhere under a fault, with unknown cells or current,
at a full or a cold cell, and none that rises as an input is lost; no latch or counter that goes back; every change told
with its cause; outputs those of the phase; cycles without a gap; the gate opening and narrowing only; and the
configuration the same to the last bit.

Quiet hours: what the site's load does on its days and rides, sensors as wrong as GB/T 38661 allows, and frames lost for
up to 200 ms, every signal of a pack for itself, every 30 s. Steps are coarse, 0.5 s, but single cycles
around a loss of frames.

"""


SLOW = """In longer steps of virtual time. What takes hours is seen by any of several rows, whichever speaks first, at a
site that works as its load does; sound packs beside them must raise nothing. A time beyond its bound is of what was
seen before sound sensors must show it: for that no bound is claimed."""


def _table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
    whole = [header, tuple("-" * len(h) for h in header), *lines]
    return ["| " + " | ".join(row) + " |" for row in whole]


def page(out: Outcome, picture: str = "reaction-times.svg") -> str:
    """Return docs/reaction-times.md. picture: the file of `campaign_plot.svg` beside it."""
    sites = "" if tuple(out.unseen) == SUBJECTS else " " + " ".join(out.unseen)
    lines = [TEXT.format(arguments=f"{sites} --seeds {out.runs} --hours {out.asked_hours:g} --seed {out.seed}")]
    lines += [f"- {name}: {text}" for name, text in summary(out).items() if name != "missed"]
    lines += ["", f"![Reaction times against budgets]({picture})"]
    for title, found in tables(out).items():
        lines += ["", f"## {title}", "", *([SLOW, ""] if title == SLOWLY else []), *_table(HEADER, found)]
    lines += ["", "## Missed", ""] + ([f"- {line(m)}" for m in missed(out)] or ["Nothing."])
    lines += ["", "## Not injected", ""]
    for site, why in out.unseen.items():
        causes: dict[str, list[str]] = {}
        for fault, cause in why.items():
            causes.setdefault(cause, []).append(fault.replace("_", " "))
        lines += [f"On `{site}`:", "", *(f"- {cause}: {', '.join(names)}" for cause, names in causes.items()), ""]
    return "\n".join(lines).rstrip() + "\n"
