"""What a campaign has to say to people: the table of reaction times, what was missed, and what no site can see."""

import math
from statistics import median

from cellarer.runtime.campaign import Outcome, Shot, figures, missed

HEADER = ("site", "fault", "seen by", "reaction", "injected", "answered", "median s", "worst s", "budget s")


def rows(out: Outcome) -> list[tuple[str, ...]]:
    """Return one row per site, fault and reaction: over all states of the pack, shapes and phases."""
    groups: dict[tuple[str, ...], list[Shot]] = {}
    for shot in out.shots:
        groups.setdefault((shot.site, shot.fault, shot.row, shot.level), []).append(shot)
    lines: list[tuple[str, ...]] = []
    for (site, fault, row, level), shots in groups.items():
        times = [s.reaction_s for s in shots if not math.isnan(s.reaction_s)]
        good = sum(not s.cause for s in shots)
        worst = (f"{median(times):.3f}", f"{max(times):.3f}") if times else ("-", "-")
        name = row.removesuffix("_maximum").replace("_", " ")
        lines.append((site, fault.replace("_", " "), name, level, str(len(shots)), str(good), *worst,
                      f"{shots[0].budget_s:g}"))  # fmt: skip
    return lines


def summary(out: Outcome) -> dict[str, str]:
    """Return the figures in words."""
    f = figures(out)
    single, pairs, quiet = f["single"], f["pairs"], f["quiet"]
    assert isinstance(single, dict) and isinstance(pairs, dict) and isinstance(quiet, dict)
    return {
        "single faults": f"{single['injected']} injected, {single['detected']} detected, "
        f"{single['right_reaction']} with the right reaction, {single['in_budget']} of them in time",
        "random pairs": f"{pairs['injected']} injected, {pairs['unsafe']} unsafe",
        "quiet hours": f"{quiet['hours']:g} pack-hours, {quiet['openings']} openings, {quiet['warnings']} warnings "
        + ", ".join(f"({name}: {n})" for name, n in sorted(out.quiet_rows.items())),
        "missed": "; ".join(line(m) for m in missed(out)) or "nothing",
        "not injected": "; ".join(f"{site}: {len(why)} faults of the catalogue" for site, why in out.unseen.items()),
        "seed, hash": f"{out.seed}, {out.hash}",
    }


def line(miss: dict[str, object]) -> str:
    """Return a miss in words."""
    if "faults" in miss:
        both = " and ".join(map(str, miss["faults"]))  # type: ignore[call-overload]
        return f"{miss['site']}: {both} ({miss['mode']}): {miss['rules']}"
    worst = "" if miss["worst_s"] is None else f", {miss['worst_s']} s of {miss['budget_s']:g} s"
    where = f"{miss['site']}: {miss['fault']} ({miss['mode']}, {miss['shape']})"
    return f"{where}: {miss['cause']}{worst}, {miss['times']} times"


TEXT = """# Reaction times

Written by `cellarer campaign{arguments} --out docs/reaction-times.md`; the same command gives the same table.

Each fault of the simulated world is injected at a random cell and a random phase of the cycle, into packs at rest,
charging and discharging. The real `step()` sees it through sensors with period, skew, noise and offset, in cycles of
20 ms of virtual time. The time runs from the fault's onset (where the world ramps: from the moment the threshold is
crossed in truth) until the row is active (inform, warn), the limit is zero (derate), or all contacts on the path are
ordered open and have had their time to open (ramp, open; in ramp the current is given time to fall first).

Measured with control alone: the guard, which also decides over-current, emergency stop, interlock and crash on arrival,
is not counted. Wires are not in it: faults of communication count as silence. In pairs a rule is broken when a string
is closed with unknown cells for more than a second or with a cell beyond its maximum in truth, when a limit is above
zero under a fault or with unknown cells or current, or when something closes against a fault.

"""


def page(out: Outcome) -> str:
    """Return docs/reaction-times.md."""
    lines = [TEXT.format(arguments=f" --seeds {out.runs} --hours {out.hours:g} --seed {out.seed}")]
    lines += [f"- {name}: {text}" for name, text in summary(out).items() if name != "missed"]
    table = [HEADER, tuple("-" * len(h) for h in HEADER), *rows(out)]
    lines += ["", *("| " + " | ".join(row) + " |" for row in table), "", "## Missed", ""]
    lines += [f"- {line(m)}" for m in missed(out)] or ["Nothing."]
    lines += ["", "## Not injected", ""]
    for site, why in out.unseen.items():
        causes: dict[str, list[str]] = {}
        for fault, cause in why.items():
            causes.setdefault(cause, []).append(fault.replace("_", " "))
        lines += [f"On `{site}`:", "", *(f"- {cause}: {', '.join(names)}" for cause, names in causes.items()), ""]
    return "\n".join(lines).rstrip() + "\n"
