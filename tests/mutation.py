"""Does a test notice? Mutants of what may never be wrong, one forked test run each: scripts/mutation.

The tests are imported and collected once. For each mutant the process forks, takes it on and runs the tests that reach
the changed function, those first that have noticed a neighbour and then the quick ones, until one fails. A mutant
that makes them hang is noticed too. `survived` means: no test failed within BUDGET_S of processor time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.mutants import Mutant, mutants, take_on

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "cellarer"
CORE = (
    [PACKAGE / "core" / "decide" / f"{name}.py" for name in ("protect", "sequence", "machine", "runs")],
    [
        f"tests/core/test_{name}.py"
        for name in (
            "fault_machine",
            "compiled",
            "without_numba",
            "switchgear",
            "switchgear_table",
            "ways_back",
            "fail_open",
        )
    ],
)
GUARD = (
    [PACKAGE / "guard" / f"{name}.py" for name in ("decide", "rules", "limits", "files", "__main__")],
    ["tests/guard"],
)
BUDGET_S = 25.0
WALL_S = 240.0  # for a hang; other work may share the processor


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


class Runner:
    """A pytest plugin that runs mutants instead of tests."""

    def __init__(self, wanted: argparse.Namespace, room: str, files: list[Path]) -> None:
        self.wanted, self.room, self.files = wanted, room, files
        self.noticed = self.tried = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of the test run."""
        self.session, self.items = session, session.items
        warm(self.room)
        self.reach = self.baseline()
        every = [m for f in self.files for m in mutants(f)]
        size = len(every) if self.wanted.size == "all" else min(int(self.wanted.size), len(every))
        chosen = random.Random(self.wanted.seed).sample(every, size)
        killers: dict[str, Counter[int]] = {}
        for n, mutant in enumerate(sorted(chosen)):
            key = f"{mutant.file}:{mutant.function}"
            killer = self.judge(mutant, self.order(mutant, killers))
            self.tried += 1
            if killer is None:
                print(f"survived {n + 1}/{size}  {said(mutant)}", flush=True)
            else:
                self.noticed += 1
                for where in (key, mutant.file):
                    killers.setdefault(where, Counter())[killer] += 1
        share = 100 * self.noticed / max(size, 1)
        print(f"{self.room}: {self.noticed} of {size} mutants noticed: {share:.1f} % ({len(every)} in all)", flush=True)
        return True

    def order(self, mutant: Mutant, killers: dict[str, Counter[int]]) -> list[int]:
        """Return the tests that reach the function, the likeliest first."""
        name = f"{mutant.file}:{mutant.function}"
        able = [i for i, (_, reached) in enumerate(self.reach) if not mutant.function or name in reached]
        near, far = killers.get(name, Counter()), killers.get(mutant.file, Counter())
        return sorted(able, key=lambda i: (-near[i], -(far[i] > 0), self.reach[i][0]))

    def baseline(self) -> list[tuple[float, list[str]]]:
        """Return how long each test takes alone and which functions of the files it reaches."""
        kept = ROOT / f".mutation.{self.room}.json"
        names = [item.nodeid for item in self.items]
        if kept.exists():
            told = json.loads(kept.read_text())
            if told["tests"] == names:
                return [tuple(t) for t in told["reach"]]  # type: ignore[misc]
        reach = []
        for i in range(len(self.items)):
            answer = forked(lambda i=i: self.traced(i), 5 * WALL_S)  # type: ignore[misc]
            assert answer is not None and not answer["failed"], f"{names[i]} fails without any mutant"
            reach.append((answer["seconds"], answer["reached"]))
        kept.write_text(json.dumps({"tests": names, "reach": reach}))
        return reach

    def traced(self, i: int) -> Any:
        wanted, reached = {str(f) for f in self.files}, set()

        def trace(frame: Any, event: str, _: Any) -> None:  # of calls alone: lines are not asked for
            code = frame.f_code
            if event == "call" and code.co_filename in wanted:
                reached.add(f"{code.co_filename}:{code.co_qualname.split('.<locals>')[0]}")

        sys.settrace(trace)
        failed = self.fails(i)
        sys.settrace(None)
        return {"seconds": time.process_time() - self.began_s, "reached": sorted(reached), "failed": failed}

    def fails(self, i: int) -> bool:
        self.began_s = time.process_time()
        self.session.config.hook.pytest_runtest_protocol(item=self.items[i], nextitem=None)
        return self.session.testsfailed > 0

    def judge(self, mutant: Mutant, order: list[int]) -> int | None:
        """Return the test that noticed the mutant; −1 = it hung or could not start; None = nobody did."""

        def child() -> Any:
            try:
                take_on(mutant, sys.modules[module_of(Path(mutant.file))])
            except (Exception, SystemExit) as error:  # a program that cannot start does no harm
                return [-1, repr(error)]
            begin_s = time.process_time()
            for i in order:
                if self.fails(i):
                    return [i]
                if time.process_time() - begin_s > BUDGET_S:
                    break
            return []

        answer = forked(child, WALL_S)
        return -1 if answer is None else answer[0] if answer else None


def forked(work: Any, limit_s: float) -> Any:
    """Return what `work` gives in a process of its own; None where it died or took too long."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.write(write, json.dumps(work()).encode() + b"\n")
        os._exit(0)
    os.close(write)
    end_s = time.monotonic() + limit_s
    os.set_blocking(read, False)
    data = b""
    while time.monotonic() < end_s and not data.endswith(b"\n"):
        try:
            part = os.read(read, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if not part:
            break
        data += part
    os.close(read)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return json.loads(data) if data.endswith(b"\n") else None


def warm(room: str) -> None:
    """Build what every test needs and no mutant changes: modules, sites, kernels."""
    from tests.core.sites import TABLES, site

    for file in (*CORE[0], *GUARD[0]):
        importlib.import_module(module_of(file))
    for name in TABLES if room == "core" else ():
        site(name)


def said(mutant: Mutant) -> str:
    file = Path(mutant.file).relative_to(PACKAGE)
    line = Path(mutant.file).read_text().splitlines()[mutant.line - 1].strip()
    return f"{file}:{mutant.line} {mutant.function or 'module'}: {mutant.what}: {line}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", nargs="?", default="50", help="how many mutants, or all")
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("files", nargs="*", help="only files whose path contains one of these")
    wanted = parser.parse_args()
    if wanted.size != "all" and not wanted.size.isdigit():
        parser.error("SIZE is a number or all")
    rooms = {"core": CORE, "guard": GUARD}
    score = Counter[str]()
    for room, (files, tests) in rooms.items():
        files = [f for f in files if not wanted.files or any(w in str(f) for w in wanted.files)]
        if files:
            runner = Runner(wanted, room, files)
            names = [f"{name}" for name in tests if (ROOT / name).exists()]
            pytest.main(
                [
                    *names,
                    "-o",
                    "addopts=--import-mode=importlib",
                    "-o",
                    "timeout=0",
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    "no:terminal",
                ],
                plugins=[runner],
            )
            score += Counter(noticed=runner.noticed, tried=runner.tried)
    print(f"{score['noticed']} of {score['tried']} mutants noticed")
    return 0 if score["noticed"] == score["tried"] else 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
