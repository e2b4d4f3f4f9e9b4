"""Does a test notice? Mutants of what may never be wrong, one forked test run each: scripts/mutation.

The tests are imported and collected once. For each mutant the process forks, takes it on and runs the tests that reach
the changed function, those first that have noticed a neighbour and then the quick ones, until one fails. A mutant
that makes them hang is noticed too. `survived` means: no test failed within BUDGET_S of processor time. Which test
reaches what is kept in a file until the judged source changes; a test that takes longer than SLOW_S takes no part.
Mutants come in the order they were drawn: whatever was tried when the time is over is a fair sample.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.mutants import CannotStart, Mutant, code_of, mutants, reload, take_on, watch

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "cellarer"
CORE = (
    [PACKAGE / "core" / "decide" / f"{name}.py" for name in ("protect", "sequence", "join", "machine", "runs")],
    [
        f"tests/core/test_{name}.py"
        for name in (
            "machine",
            "switchgear_limits",
            "join",
            "precharge_heat",
            "fault_events",
            "why_it_opened",
            "fault_machine",
            "compiled",
            "without_numba",
            "switchgear",
            "switchgear_table",
            "refill",
            "ways_back",
            "fail_open",
            "noise",
        )
    ],
)
GUARD = (
    [PACKAGE / "guard" / f"{name}.py" for name in ("decide", "rules", "limits", "files", "__main__")],
    ["tests/guard"],
)
KERNEL = ([PACKAGE / "core" / "kernel.py"], ["tests/core/test_compiled.py"])
COMPILED = ("judge", "runs")  # of the kernel: the compiled forms of what CORE judges; here they run as Python
ROOMS = {"core": CORE, "kernel": KERNEL, "guard": GUARD}
BUILT = ("core.decide.sequence", "core.decide.charge")  # modules with tables that functions of the core make at import
# Tests traced together: each looks at one exploration that the first of them makes, or takes next to no time
EXPLORED = ("test_fault_machine", "test_switchgear_table")
TOGETHER = (*EXPLORED, "test_machine", "test_switchgear_limits", "test_fault_events")
QUICK_S = 0.3
BUDGET_S = 60.0  # of processor time for all tests of a mutant
SLOW_S = 20.0  # of processor time for one test
HANGS_S = 100.0  # of processor time for a mutant: more is a hang
DAY_S = 86400.0  # for all tests, each of which has a limit of its own
WALL_S = 900.0  # for one that sleeps; other work may share the processor


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


class Runner:
    """A pytest plugin that runs mutants instead of tests."""

    def __init__(self, wanted: argparse.Namespace, room: str, files: list[Path]) -> None:
        self.wanted, self.room, self.files, self.judged = wanted, room, files, ROOMS[room][0]
        self.noticed = self.tried = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of the test run."""
        self.session, self.items = session, session.items
        warm(self.room)
        self.reach = self.baseline()
        built = [module_of(f) for f in self.judged if f.name not in ("__main__.py", "kernel.py")]
        built += [f"cellarer.{name}" for name in BUILT if self.room == "core" and f"cellarer.{name}" not in built]
        self.built = [sys.modules[name] for name in built]
        self.at_import = set(forked(self.imported, WALL_S, HANGS_S))
        end_s = time.monotonic() + 60 * self.wanted.minutes
        every = [m for f in self.files for m in mutants(f) if self.room != "kernel" or m.function in COMPILED]
        size = len(every) if self.wanted.size == "all" else min(int(self.wanted.size), len(every))
        chosen = random.Random(self.wanted.seed).sample(every, size)
        killers: dict[str, Counter[int]] = {}
        for n, mutant in enumerate(chosen):
            if time.monotonic() > end_s:
                break
            key = f"{mutant.file}:{mutant.function}"
            killer = self.judge(mutant, self.order(mutant, killers))
            self.tried += 1
            print(f"{n + 1}/{size}", end="\r", file=sys.stderr, flush=True)
            if killer is None:
                print(f"survived {n + 1}/{size}  {said(mutant)}", flush=True)
            else:
                self.noticed += 1
                for where in (key, mutant.file):
                    killers.setdefault(where, Counter())[killer] += 1
        share, drawn = 100 * self.noticed / max(self.tried, 1), f"{size} drawn with seed {self.wanted.seed}"
        print(f"{self.room}: {self.noticed} of {self.tried} mutants noticed: {share:.1f} %", end=" ")
        print(f"(the first {self.tried} of {drawn}, of {len(every)} in all)", flush=True)
        return True

    def order(self, mutant: Mutant, killers: dict[str, Counter[int]]) -> list[int]:
        """Return the tests that reach the function, the likeliest first."""
        name = f"{mutant.file}:{mutant.function}"
        made = name in self.at_import  # what it makes is used by functions that do not call it
        able = [
            i for i, (seconds, reached) in enumerate(self.reach)
            if seconds < SLOW_S
            and any(r == name if mutant.function and not made else r.startswith(f"{mutant.file}:") for r in reached)
        ]  # fmt: skip
        near, far = killers.get(name, Counter()), killers.get(mutant.file, Counter())
        whole = [item.path.stem in EXPLORED for item in self.items]  # and all of it is judged
        cost_s = [seconds for seconds, _ in self.reach]
        return sorted(able, key=lambda i: (-near[i], cost_s[i] > QUICK_S, not whole[i], -(far[i] > 0), cost_s[i]))

    def baseline(self) -> list[tuple[float, list[str]]]:
        """Return how long each test takes alone and which functions of the files it reaches."""
        kept, known = ROOT / f".mutation.{self.room}.json", {}
        source = hashlib.sha256(b"".join(f.read_bytes() for f in self.judged)).hexdigest()
        if kept.exists():
            told = json.loads(kept.read_text())
            known = told["reach"] if told["source"] == source else {}

        def trace() -> Any:
            reached: set[str] = set()
            for file in self.judged:
                watch(file, sys.modules[module_of(file)], reached)
            for name in dict.fromkeys(item.path.stem for item in self.items):
                new = [i for i, item in enumerate(self.items) if item.path.stem == name and item.nodeid not in known]
                for group in [new] if name in TOGETHER and new else [[i] for i in new]:
                    answer = forked(lambda group=group: self.traced(group, reached), WALL_S, 6 * SLOW_S) or {}  # type: ignore[misc]
                    assert not answer.get("failed"), f"{answer['failed']} fails without any mutant"
                    for i in group:  # one that takes too long reaches nothing: it takes no part
                        known[self.items[i].nodeid] = answer.get("seconds", 3 * SLOW_S), answer.get("reached", [])
                    kept.write_text(json.dumps({"source": source, "reach": known}))
            return known

        known = forked(trace, DAY_S, DAY_S)
        return [tuple(known[item.nodeid]) for item in self.items]

    def imported(self) -> list[str]:
        """Return which functions of the files run while modules are imported: what they made must be made anew."""
        reached: set[str] = set()
        codes = {sys.modules[module_of(f)]: watch(f, sys.modules[module_of(f)], reached) for f in self.judged}
        for module in self.built:
            reload(module, codes.get(module) or code_of(module))
        return sorted(reached)

    def traced(self, group: list[int], reached: set[str]) -> Any:
        """Run tests in one process; return the time of one, what they reach, and which failed."""
        failed = [self.items[i].nodeid for i, after in zip(group, [*group[1:], None]) if self.fails(i, after)][:1]
        return {"seconds": time.process_time() / len(group), "reached": sorted(reached), "failed": failed}

    def fails(self, i: int, after: int | None = None) -> bool:
        """Run a test; what it shares with the one that runs after it stays."""
        item, then = self.items[i], None if after is None else self.items[after]
        self.session.config.hook.pytest_runtest_protocol(item=item, nextitem=then)
        return self.session.testsfailed > 0

    def judge(self, mutant: Mutant, order: list[int]) -> int | None:
        """Return the test that noticed the mutant; −1 = it hung or could not start; None = nobody did."""

        def child() -> Any:
            built = self.built if f"{mutant.file}:{mutant.function}" in self.at_import else []
            try:
                take_on(mutant, sys.modules[module_of(Path(mutant.file))], built)
            except CannotStart:
                return [-1]
            begin_s = time.process_time()
            for i, after in zip(order, [*order[1:], None]):
                if self.fails(i, after):
                    return [i]
                if time.process_time() - begin_s > BUDGET_S:
                    break
            return []

        answer = forked(child, WALL_S, HANGS_S)
        return -1 if answer is None else answer[0] if answer else None


def forked(work: Any, wall_s: float, processor_s: float) -> Any:
    """Return what `work` gives in a process of its own; None where it died or took too long."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (round(processor_s), round(processor_s)))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            os.write(write, json.dumps(work()).encode() + b"\n")
        except BaseException:
            os.write(write, json.dumps({"broken": traceback.format_exc()}).encode() + b"\n")
        os._exit(0)
    os.close(write)
    end_s = time.monotonic() + wall_s
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
    answer = json.loads(data) if data.endswith(b"\n") else None
    assert not (isinstance(answer, dict) and "broken" in answer), answer["broken"]
    return answer


def warm(room: str) -> None:
    """Build what every test needs and no mutant changes: modules, sites, kernels."""
    from tests.core.bench import closed
    from tests.core.sites import TABLES

    for file in (*CORE[0], *GUARD[0]):
        importlib.import_module(module_of(file))
    for name in TABLES if room != "guard" else ():
        closed(name)
    for name in COMPILED if room == "kernel" else ():
        kernel = importlib.import_module(module_of(KERNEL[0][0]))
        setattr(kernel, name, getattr(kernel, name).py_func)


def said(mutant: Mutant) -> str:
    file = Path(mutant.file).relative_to(PACKAGE)
    line = Path(mutant.file).read_text().splitlines()[mutant.line - 1].strip()
    return f"{file}:{mutant.line} {mutant.function or 'module'}: {mutant.what}: {line}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", nargs="?", default="50", help="how many mutants, or all")
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, with what was tried")
    parser.add_argument("files", nargs="*", help="only files whose path contains one of these")
    wanted = parser.parse_args()
    if wanted.size != "all" and not wanted.size.isdigit():
        parser.error("SIZE is a number or all")
    score = Counter[str]()
    for room, (files, tests) in ROOMS.items():
        files = [f for f in files if not wanted.files or any(w in str(f.relative_to(PACKAGE)) for w in wanted.files)]
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
