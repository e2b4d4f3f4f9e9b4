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
    const faults = collect(view.packs, many).sort((a, b) => LEVELS[b.level].rank - LEVELS[a.level].rank);
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
      return string.faults.map((fault) => ({ ...fault, where: place.length ? `${place.join(", ")}: ` : "" }));
    }),
  );
}

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
  text(children[1], `${LEVELS[fault.level].word} · ${words(fault.name)}${since}${fault.latched ? " · stays until reset" : ""}`);
}
