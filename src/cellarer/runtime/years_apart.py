"""Policies over years in two groups, each in a process of its own where there is a second core.

Packs that live side by side share their steps, so who is beside whom shows in the last digits. The groups are therefore
the same however many processes there are, and so is the result. More groups would cost more: a step of one pack costs
a third of a step of seven.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import get_context

from cellarer.config import Site
from cellarer.runtime.policies import Policy
from cellarer.runtime.years import DAYS, Lives, Progress, beyond, live

GROUPS = 2
LOOK_S = 0.5  # between two looks at how far the groups are

_done: "Sequence[float]" = [0.0] * GROUPS  # in a process of the pool: shared with its parent


def compare(
    site: Site, years: int, seed: int, policies: Sequence[Policy], progress: Progress = lambda fraction: None,
    jobs: int | None = None, days: int = DAYS,
) -> Lives:  # fmt: skip
    """Do what `years.live` does for any number of policies. jobs: processes; None = two where we may use two cores."""
    half = -(-len(policies) // GROUPS)
    groups = [group for group in (policies[:half], policies[half:]) if group]
    if min(len(groups), len(os.sched_getaffinity(0)) if jobs is None else jobs) == 1:
        share = [len(group) / len(policies) for group in groups]
        parts = [
            live(site, years, seed, group, days, lambda x, k=k: progress(sum(share[:k]) + share[k] * x))  # type: ignore[misc]
            for k, group in enumerate(groups)
        ]
        return _joined(site, parts)
    context = get_context("spawn")
    done = context.Array("d", GROUPS, lock=False)
    with ProcessPoolExecutor(GROUPS, context, _share, (done,)) as pool:
        asked: list[Future[Lives]] = [
            pool.submit(_live, k, site, years, seed, group, days) for k, group in enumerate(groups)
        ]
        while wait(asked, LOOK_S).not_done:
            progress(min(done))
        return _joined(site, [part.result() for part in asked])


def _share(done: Sequence[float]) -> None:
    global _done  # what a process of the pool is given once
    _done = done


def _live(k: int, site: Site, years: int, seed: int, policies: Sequence[Policy], days: int) -> Lives:
    def tell(fraction: float) -> None:
        _done[k] = fraction  # type: ignore[index]

    return live(site, years, seed, policies, days, tell)


def _joined(site: Site, parts: Sequence[Lives]) -> Lives:
    """Return the lives of all groups as one result."""
    law = site.cells[0].ageing
    assert law is not None  # else nobody lived
    low, high, rate = zip(*(part.seen for part in parts), strict=True)
    seen, hashes = (min(low), max(high), max(rate)), "".join(part.hash for part in parts)
    return replace(
        parts[0],
        lives=tuple(life for part in parts for life in part.lives),
        steps=sum(part.steps for part in parts),
        seen=seen,
        beyond=tuple(beyond(law, seen)),
        hash=hashlib.sha256(hashes.encode()).hexdigest(),
    )
