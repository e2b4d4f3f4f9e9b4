"""The guards of a campaign: the guard's own limits, parser and decisions, one per pack, in virtual time.

What a site has between control and its outputs, byte for byte: samples go in as records of the ring, control's consent
as a wish, orders come out as a record of the gate. Only the files between them and the clock are left out.
"""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np

from cellarer.board.files import Folder
from cellarer.board.orders import (
    GATE,
    HEAD,
    OUTPUTS,
    PACK,
    STRING,
    WISH,
    Vetoes,
    WishWriter,
    cells_in,
    of_cells,
    parse,
)
from cellarer.board.orders import Orders as Gate
from cellarer.board.samples import HEAD as RECORD
from cellarer.board.samples import PAIR
from cellarer.config import Site
from cellarer.guard import decide
from cellarer.guard.files import gate_record, parse_wish, readings
from cellarer.guard.limits import Limits, parse_limits
from cellarer.model.values import NEVER, Bools, Command, Sample
from cellarer.runtime.clock import Clock
from cellarer.runtime.guard_limits import INPUTS, guard_limits
from cellarer.runtime.pace import drop_ns
from cellarer.runtime.process import Run
from cellarer.sim.plant import Orders, no_orders


class Guards:
    """One guard for each pack of a site; packs know nothing of each other."""

    def __init__(self, site: Site, cycle_ns: int) -> None:
        """Begin with everything open. cycle_ns: how often they are asked; longer than the site's for coarse runs."""
        config = site.config
        self.config, self.layout = config, config.layout
        run = Run(
            name=site.path, site_json="", state_dir="", config_sha256=config.hash, clock=Clock(0, 0.0), socket_fd=-1,
            links=(), lifetime=(), consent_ns=site.file.guard.consent_cycles * cycle_ns,
            drop_ns=max(drop_ns(site.file, 1.0), 2 * cycle_ns), close_at_start=False,
        )  # fmt: skip
        self.consent_cycles, self.drop_ns = site.file.guard.consent_cycles, drop_ns(site.file, 1.0)
        self.consent_ns, self.site = run.consent_ns, bytes.fromhex(run.config_sha256[:16])
        whole = guard_limits(site, config, run, Folder(Path()))
        self.limits = [self._limits(whole, pack) for pack in range(self.layout.size["pack"])]
        self.guards = [decide.Guard(limits, 0) for limits in self.limits]
        self.places = [_places(limits) for limits in self.limits]
        self.flat = np.concatenate([np.array(p, np.int64) for p in self.places])
        self.source = self.flat % self.layout.size["signal"]  # what the guard alone reads is as control's there
        self.ends = np.cumsum([len(p) for p in self.places])
        self.fed_ns = np.full(self.flat.size, NEVER)
        self.idle = [bytes(decide.cell_bytes(limits.cells)) for limits in self.limits]
        self.before = list(self.idle)  # what was told of cells
        size = self.layout.size
        self.strings, self.packs = np.zeros(size["string"], STRING), np.zeros(size["pack"], PACK)
        everything = np.ones(size["string"], bool)
        self.orders, self.vetoes = no_orders(config), Vetoes(0, everything, everything)
        self.bleed, self.move = self.orders.bleed, self.orders.move

    def _limits(self, whole: dict[str, object], pack: int) -> Limits:
        """Return the limits file of a site that is this pack alone."""
        strings = [s | {"pack": 0} for s in whole["strings"] if s["pack"] == pack]  # type: ignore[attr-defined]
        cells = int((self.layout.pack_of_cell == pack).sum())
        inputs = [whole["packs"][pack]]  # type: ignore[index]
        return parse_limits(whole | {"strings": strings, "packs": inputs, "cells": cells})

    def pace(self, cycle_ns: int) -> None:
        """Be asked at another pace from now on."""
        self.consent_ns = self.consent_cycles * cycle_ns
        gap_ns = max(self.drop_ns, 2 * cycle_ns)
        self.limits = [replace(x, consent_ns=self.consent_ns, gap_ns=gap_ns) for x in self.limits]
        for guard, limits in zip(self.guards, self.limits, strict=True):
            guard.limits = limits

    def fork(self) -> "Guards":
        """Return guards that go on from here."""
        kept = {id(x): x for x in (self.config, self.layout, *self.limits)}
        return copy.deepcopy(self, kept)

    def feed(self, sample: Sample, now_ns: int) -> None:
        """Hand every reading that is new to its guard, as a record of a ring."""
        time_ns = sample.time_ns[self.source]
        fresh = np.flatnonzero(time_ns > self.fed_ns)
        if not fresh.size:
            return
        self.fed_ns = np.maximum(self.fed_ns, time_ns)
        pairs = np.empty(fresh.size, PAIR)
        pairs["signal"], pairs["value"] = self.flat[fresh], sample.value[self.source[fresh]]
        told, begin = pairs.tobytes(), 0
        for guard, end in zip(self.guards, np.searchsorted(fresh, self.ends).tolist(), strict=True):
            if end > begin:
                record = RECORD.pack(now_ns, 0, end - begin) + told[begin * PAIR.itemsize : end * PAIR.itemsize]
                read_ns, found = readings(record)
                guard.receive(found, read_ns, now_ns)
                begin = end

    def decide(self, command: Command, reset: Bools, now_ns: int) -> Orders:
        """Return what the gate orders after control's consent to a command. reset (pack,)."""
        strings, packs = WishWriter._strings(command).tobytes(), WishWriter._packs(command, reset).tobytes()
        layout, bleed, move = self.layout, self.bleed.copy(), self.move.copy()
        busy = layout.pack_any(np.logical_or.reduceat(command.bleed | (command.move != 0.0).any(0), layout.first_cell))
        told = list[decide.Orders]()
        for k, guard in enumerate(self.guards):
            first, n = int(layout.first_string[k]), len(guard.strings)
            cell, cells = int(layout.first_cell[first]), guard.limits.cells
            mine = slice(cell, cell + cells)
            head = HEAD.pack(WISH, n, 1, cells, 0, 1, now_ns, now_ns + self.consent_ns, self.site)
            body = strings[first * STRING.itemsize : (first + n) * STRING.itemsize]
            body += packs[k * PACK.itemsize : (k + 1) * PACK.itemsize]
            body += of_cells(command.bleed[mine], command.move[:, mine]) if busy[k] else self.idle[k]
            told.append(guard.decide(parse_wish(head + body, n, 1, cells), now_ns))
            if told[k].cells != self.before[k]:
                self.before[k] = told[k].cells
                bleed[mine], move[:, mine] = cells_in(told[k].cells, cells)
        whole = decide.Orders(
            0, now_ns, now_ns, b"", False, tuple(s for t in told for s in t.strings),
            tuple(p for t in told for p in t.packs), of_cells(bleed, move),
        )  # fmt: skip
        order = parse(gate_record(whole, bleed.size), GATE)
        self.strings, self.packs, self.bleed, self.move = order.strings, order.packs, order.bleed, order.move
        self.orders = self._obeyed(now_ns)
        return self.orders

    def _obeyed(self, now_ns: int) -> Orders:
        """Return what the links read from the gate, as new arrays."""
        gate, orders = self.gate(now_ns), copy.copy(self.orders)
        for name in OUTPUTS:
            setattr(orders, name, gate.output(name))
        for name in ("charge_A", "discharge_A", "charge_V"):
            setattr(orders, name, gate.strings[name].copy())
        orders.bleed, orders.move = self.bleed, self.move
        orders.heater, orders.pump = gate.packs["heater"].copy(), gate.packs["pump"].copy()
        self.vetoes = gate.vetoes
        return orders

    def gate(self, now_ns: int) -> Gate:
        """Return what the gate holds now, as links read it."""
        until_ns = now_ns + self.consent_ns
        return Gate(0, now_ns, until_ns, self.site, False, self.strings, self.packs, self.bleed, self.move)

    @property
    def trips(self) -> set[tuple[str, int]]:
        """Return which rules of the guards have said no, and on which string of the site."""
        first = self.layout.first_string
        return {(n, int(first[k]) + s) for k, guard in enumerate(self.guards) for n, s in guard.trips}


def _places(limits: Limits) -> list[int]:
    """Return the signals that a guard watches, ascending."""
    found: set[int] = set()
    for string in limits.strings:
        for first, count in (string.cells, string.temperatures):
            found |= set(range(first, first + count))
        found -= set(string.absent)
        found |= {p for p in (string.current, string.cell_high, string.cell_low) if p is not None}
    for pack in limits.packs:
        found |= {place for name in INPUTS if (place := getattr(pack, name)) is not None}
    return sorted(found)
