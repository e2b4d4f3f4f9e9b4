"""Years in two groups, each in a process of its own where there is a second core: of policies, or of one policy's days.

Packs that live side by side share their steps, so who is beside whom shows in the last digits. The groups are therefore
the same however many processes there are, and so is the result. More groups would cost more: a step of one pack costs
a third of a step of seven. Groups of days age together: after each year they tell each other what they gathered.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

import numpy as np

from cellarer.config import Site
from cellarer.runtime.policies import Policy
from cellarer.runtime.years import (
    DAYS,
    Floats,
    Kept,
    Lives,
    Progress,
    beyond,
    live,
    living,
    representative,
    together,
    told,
    widest,
)

GROUPS = 2
LOOK_S = 0.5  # between two looks at how far the groups are

T = TypeVar("T")
_done: list[float] = [0.0] * GROUPS  # in a process of the pool: shared with its parent
_ends: "Sequence[Connection]" = ()  # of the line between the groups


def compare(
    site: Site, years: int, seed: int, policies: Sequence[Policy], progress: Progress = lambda fraction: None,
    jobs: int | None = None, days: int = DAYS,
) -> Lives:  # fmt: skip
    """Do what `years.live` does for any number of policies. jobs: processes; None = two where we may use two cores."""
    alone = (len(os.sched_getaffinity(0)) if jobs is None else jobs) == 1
    if len(policies) == 1:
        return _days_apart(site, years, seed, policies, progress, alone, days)
    half = -(-len(policies) // GROUPS)
    groups = [policies[:half], policies[half:]]
    if alone:
        share = [len(group) / len(policies) for group in groups]
        parts = [
            live(site, years, seed, group, days, lambda x, k=k: progress(sum(share[:k]) + share[k] * x))  # type: ignore[misc]
            for k, group in enumerate(groups)
        ]
        return _joined(site, parts)
    with _pool() as (pool, done):
        asked = [pool.submit(_live, k, site, years, seed, group, days) for k, group in enumerate(groups)]
        return _joined(site, _results(asked, done, progress))


def _days_apart(
    site: Site, years: int, seed: int, policies: Sequence[Policy], progress: Progress, alone: bool, days: int
) -> Lives:  # fmt: skip
    """Let every second day of the year live in the other group."""
    all_days = representative(days)
    groups = [group for group in (all_days[::GROUPS], all_days[1::GROUPS]) if group.size]
    if len(groups) < GROUPS:
        return live(site, years, seed, policies, days, progress)
    if alone:
        done = [0.0] * GROUPS

        def tell(k: int, fraction: float) -> None:
            done[k] = fraction
            progress(sum(done) / GROUPS)

        parts = [
            living(site, years, seed, policies, group, lambda x, k=k: tell(k, x))  # type: ignore[misc]
            for k, group in enumerate(groups)
        ]
        return told(site, seed, years, days, policies, together(parts))
    with _pool() as (pool, shared):
        asked = [pool.submit(_living, k, site, years, seed, policies, group) for k, group in enumerate(groups)]
        return told(site, seed, years, days, policies, _results(asked, shared, progress))


@contextmanager
def _pool() -> Iterator[tuple[ProcessPoolExecutor, Sequence[float]]]:
    """Give a process to each group; also how far each is."""
    context = get_context("spawn")
    done = context.Array("d", GROUPS, lock=False)
    with ProcessPoolExecutor(GROUPS, context, _share, (done, context.Pipe())) as pool:
        yield pool, done


def _share(done: list[float], ends: Sequence[Connection]) -> None:
    global _done, _ends  # what a process of the pool is given once
    _done, _ends = done, ends


def _results(asked: Sequence[Future[T]], done: Sequence[float], progress: Progress) -> list[T]:
    while wait(asked, LOOK_S).not_done:
        progress(min(done))
    return [part.result() for part in asked]


def _live(k: int, site: Site, years: int, seed: int, policies: Sequence[Policy], days: int) -> Lives:
    return live(site, years, seed, policies, days, lambda fraction: _tell(k, fraction))


def _tell(k: int, fraction: float) -> None:
    _done[k] = fraction


def _living(k: int, site: Site, years: int, seed: int, policies: Sequence[Policy], day_of_year: Floats) -> Kept:
    """Live some days of the year; the other group has the others."""
    end = _ends[k]
    part = living(site, years, seed, policies, day_of_year, lambda fraction: _tell(k, fraction))
    try:
        mine = next(part)
        while True:
            end.send(mine)
            other = end.recv()
            if isinstance(other, Exception):
                raise other
            mine = part.send(np.mean((mine, other), axis=0))
    except StopIteration as over:
        return over.value
    except Exception as error:
        end.send(error)  # or the other group would wait for ever
        raise


def _joined(site: Site, parts: Sequence[Lives]) -> Lives:
    """Return the lives of all groups as one result."""
    law = site.cells[0].ageing
    assert law is not None  # else nobody lived
    seen, hashes = widest(parts), "".join(part.hash for part in parts)
    return replace(
        parts[0],
        lives=tuple(life for part in parts for life in part.lives),
        steps=sum(part.steps for part in parts),
        seen=seen,
        beyond=tuple(beyond(law, seen)),
        hash=hashlib.sha256(hashes.encode()).hexdigest(),
    )
