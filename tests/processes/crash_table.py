"""What came of a crash campaign: the table of role, way and outcome, and the sum of several runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

OUTCOMES = {
    "opened": "contacts that were closed opened within 1 s, for a silent control within 0.25 s, and stayed open",
    "starved": "opened later than that, and an empty loop on the same machine was late by as much in that moment",
    "late": "opened later, and the machine does not explain it",
    "closed again": "contacts closed by themselves afterwards",
    "was open": "nothing was closed in that moment",
    "went on": "contacts stayed closed, control went on, limits told were zero or fresh",
    "disturbed": "contacts opened, and an empty loop of the priority of control was late by more than consent lasts",
    "fell open": "contacts opened, and the machine does not explain it",
    "stood still": "control did not go on",
}
GOOD = ("opened", "starved", "was open", "went on", "disturbed")
STAGES = ("prepare", "judge", "return")


@dataclass
class Result:
    """Counts and times of one campaign, or of several added up."""

    seeds: list[int] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)  # "role way|outcome" → number
    opened_s: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # what was late or opened, beside how late the machine was
    empty_loop_s: float = 0.0  # how late an empty loop was at most, in all the time
    empty_loop_rt_s: float | None = None  # the same with real-time priority; None = not permitted
    wrong: list[str] = field(default_factory=list)
    unjudged: int = 0  # frames with more than was seen published, in a moment when not every snapshot was seen
    events: int = 0
    starts: int = 0  # runs of control that published a cycle
    hole_s: float = 0.0  # the longest time between a row of the history and what control published after it
    stage_s: dict[str, float] = field(default_factory=dict)

    @property
    def disturbances(self) -> int:
        return sum(self.outcomes.values())

    @property
    def kinds(self) -> set[str]:
        return {key.partition("|")[0] for key in self.outcomes}

    def count(self, kind: str, outcome: str) -> None:
        key = f"{kind}|{outcome}"
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def as_json(self) -> str:
        return json.dumps({"disturbances": self.disturbances} | asdict(self))

    def table(self) -> str:
        """Return the table for people."""
        used = [o for o in OUTCOMES if any(key.endswith(f"|{o}") for key in self.outcomes)]
        lines = ["| process | way | " + " | ".join(used) + " |", "|---|---|" + "---|" * len(used)]
        for kind in sorted(self.kinds):
            role, how = kind.split()
            numbers = [str(self.outcomes.get(f"{kind}|{o}", "")) for o in used]
            lines.append(f"| {role} | {how} | " + " | ".join(numbers) + " |")
        lines += ["", *(f"{o}: {OUTCOMES[o]}" for o in used), ""]
        if times := sorted(self.opened_s):
            lines.append(f"contacts open after {times[len(times) // 2]:.2f} s (median), {times[-1]:.2f} s at most")
        rt = "not permitted" if self.empty_loop_rt_s is None else f"{self.empty_loop_rt_s:.3f} s"
        lines.append(f"an empty loop beside it was late by {self.empty_loop_s:.3f} s at most, with priority: {rt}")
        lines.append(f"the history has a row every {self.hole_s:.2f} s at least while control runs")
        lines.append(f"{self.disturbances} disturbances, {self.events} events, {len(self.wrong)} wrong")
        if self.unjudged:
            lines.append(f"{self.unjudged} frames told more than was seen published while the judge missed snapshots")
        return "\n".join([*lines, *(f"late: {text}" for text in self.late), *(f"WRONG: {text}" for text in self.wrong)])


def added(results: Iterable[Result]) -> Result:
    """Return several results as one."""
    total = Result()
    for one in results:
        total.seeds += one.seeds
        total.outcomes = dict(Counter(total.outcomes) + Counter(one.outcomes))
        total.stage_s = dict(Counter(total.stage_s) + Counter(one.stage_s))
        for name in ("opened_s", "late", "wrong"):
            getattr(total, name).extend(getattr(one, name))
        total.events += one.events
        total.unjudged += one.unjudged
        total.hole_s = max(total.hole_s, one.hole_s)
        total.empty_loop_s = max(total.empty_loop_s, one.empty_loop_s)
        if one.empty_loop_rt_s is not None:
            total.empty_loop_rt_s = max(total.empty_loop_rt_s or 0.0, one.empty_loop_rt_s)
    return total


def from_json(line: str) -> Result:
    """Read back what `as_json` wrote."""
    known = json.loads(line)
    del known["disturbances"]
    return Result(**known)
