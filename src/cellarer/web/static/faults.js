// Active faults of all packs in plain words, the most severe first.

import { attribute, each, get, h, text } from "./dom.js";
import { duration, plural, words } from "./format.js";

export const LEVELS = {
  open: { rank: 4, word: "opened", sign: "✕" },
  ramp: { rank: 3, word: "shutting down", sign: "▼" },
  derate: { rank: 2, word: "limited", sign: "◆" },
  warn: { rank: 1, word: "warning", sign: "▲" },
  inform: { rank: 0, word: "note", sign: "i" },
};

export function faultsCard() {
  let said = "";

  function update({ view, many }) {
    const faults = together(collect(view.packs, many)).sort((a, b) => LEVELS[b.level].rank - LEVELS[a.level].rank);
    attribute(get("faults"), "data-level", faults[0]?.level ?? "none");
    text(get("faults-aside"), faults.length ? plural(faults.length, "active fault") : "");
    each(get("fault-list"), faults.length ? faults : [null], row, show);
    announce(faults);
  }

  // Screen readers hear of what came and went, not of every number that moves.
  function announce(faults) {
    const now = faults.map((fault) => fault.where + fault.name).join();
    if (now === said) return;
    text(get("said"), faults.length ? `Active: ${faults.map((fault) => fault.where + fault.text).join("; ")}` : "No active faults");
    said = now;
  }

  return { update };
}

function collect(packs, many) {
  return packs.flatMap((pack) =>
    pack.strings.flatMap((string, s) => {
      const place = [many ? pack.name : null, pack.strings.length > 1 ? `string ${s + 1}` : null].filter(Boolean);
      return string.faults.map((fault) => ({ ...fault, places: place.length ? [place.join(", ")] : [] }));
    }),
  );
}

// The same fault in many packs is one line, with the one that has lasted longest.
function together(faults) {
  const found = new Map();
  for (const fault of faults) {
    const key = [fault.level, fault.name, fault.text].join();
    const other = found.get(key);
    const since_s = Math.max(fault.since_s ?? 0, other?.since_s ?? 0) || null;
    found.set(key, { ...fault, since_s, places: [...(other?.places ?? []), ...fault.places], latched: fault.latched || other?.latched });
  }
  return [...found.values()].map((fault) => ({ ...fault, where: whereOf(fault.places) }));
}

const whereOf = (places) => (places.length > 3 ? `${places.length} times (${places[0]} …): ` : places.length ? `${places.join("; ")}: ` : "");

function row() {
  return h("li", { class: "fault" }, h("i", { "aria-hidden": "true" }), h("div", {}, h("p"), h("p", { class: "dim" })));
}

function show(item, fault) {
  const [sign, { children }] = item.children;
  attribute(item, "data-level", fault ? fault.level : "none");
  if (!fault) {
    text(sign, "✓");
    text(children[0], "No active faults");
    text(children[1], "Every cell, sensor and switch that is measured is inside its limits.");
    return;
  }
  text(sign, LEVELS[fault.level].sign);
  text(children[0], fault.where + fault.text);
  const since = fault.since_s === null ? "" : ` · since ${duration(fault.since_s)}`;
  const name = words(fault.name) === fault.text ? "" : ` · ${words(fault.name)}`;
  text(children[1], `${LEVELS[fault.level].word}${name}${since}${fault.latched ? " · stays until reset" : ""}`);
}
