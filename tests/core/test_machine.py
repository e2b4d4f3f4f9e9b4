"""State machines as tables: the first true row wins, and where none is true nothing changes."""

from __future__ import annotations

import numpy as np

from cellarer.core.decide.machine import ANY, Rule, Table

A, B, C = 1, 2, 3
TABLE = Table([
    Rule(0, A, "go", B, "first"), Rule(0, A, "leap", C, "second"), Rule(1, A, "leap", C, "other kind"),
    Rule(ANY, B, "back", A, "any kind"), Rule(1, ANY, "end", C, "any phase"),
])  # fmt: skip


def step(kinds: list[int], phases: list[int], **holds: list[bool]) -> tuple[list[int], list[int]]:
    none = [False] * len(kinds)
    phase, rule = TABLE.advance(
        np.array(kinds, np.int8), np.array(phases, np.int8), lambda name: np.array(holds.get(name, none))
    )
    assert phase.dtype == np.int8
    return phase.tolist(), rule.tolist()


def test_the_first_true_row_wins_for_each_string_by_itself() -> None:
    yes, no = True, False
    assert step([0, 0, 0], [A, A, A], go=[yes, no, no], leap=[yes, yes, no]) == ([B, C, A], [0, 1, -1])


def test_a_row_asks_for_its_kind_and_its_phase() -> None:
    every = [True] * 4
    assert step([0, 1, 0, 1], [A, A, C, C], leap=every) == ([C, C, C, C], [1, 2, -1, -1])
    assert step([0, 1, 0, 1], [B, B, A, A], back=every) == ([A, A, A, A], [3, 3, -1, -1])
    assert step([0, 1, 0, 1], [A, A, B, B], end=every) == ([A, C, B, C], [-1, 4, -1, 4])


def test_where_nothing_is_true_the_array_stays_and_no_rule_is_named() -> None:
    phase = np.array([A, B], np.int8)
    after, rule = TABLE.advance(np.zeros(2, np.int8), phase, lambda _: np.zeros(2, bool))
    assert after is phase and rule.tolist() == [-1, -1]


def test_only_conditions_of_these_phases_are_asked() -> None:
    asked: list[str] = []
    TABLE.advance(np.zeros(1, np.int8), np.array([B], np.int8), lambda name: asked.append(name) or np.zeros(1, bool))  # type: ignore[func-returns-value]
    assert asked == ["back"]
    assert [rule.cause for rule in TABLE.rules] == ["first", "second", "other kind", "any kind", "any phase"]
