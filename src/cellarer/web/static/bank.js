// Many packs at a glance; a tile chooses the pack that the cards below show.

import { attribute, each, get, h, style, text } from "./dom.js";
import { fixed, known, plural, withUnit } from "./format.js";
import { LEVELS } from "./faults.js";

export function bankCard(choose) {
  function update(view, chosen) {
    get("bank").hidden = view.packs.length < 2;
    if (view.packs.length < 2) return;
    text(get("bank-aside"), summary(view.packs));
    each(get("tiles"), view.packs, (i) => tile(() => choose(i)), (button, pack, i) => showTile(button, pack, i === chosen));
  }
  return { update };
}

function tile(onclick) {
  return h(
    "button",
    { type: "button", class: "tile", onclick },
    h("span", { class: "name" }),
    h("b"),
    h("span", { class: "mini" }, h("i")),
    h("span", { class: "watts" }),
    h("span", { class: "state" }),
  );
}

function showTile(button, pack, chosen) {
  const [name, soc, mini, watts, state] = button.children;
  const worst = worstLevel(pack);
  text(name, pack.name);
  text(soc, known(pack.soc_pct) ? `${fixed(pack.soc_pct, 0)} %` : "? %");
  style(mini.firstElementChild, "width", `${known(pack.soc_pct) ? pack.soc_pct.toFixed(1) : 0}%`);
  text(watts, known(pack.power_W) ? `${pack.power_W > 0 ? "↑" : pack.power_W < 0 ? "↓" : ""} ${withUnit(Math.abs(pack.power_W), "W")}` : "– W");
  text(state, worst ? LEVELS[worst].word : closed(pack) ? "closed" : "open");
  attribute(button, "aria-pressed", chosen ? "true" : "false");
  attribute(button, "data-level", worst ?? "none");
  attribute(button, "data-way", known(pack.power_W) ? (pack.power_W > 0 ? "charging" : "discharging") : "unknown");
  attribute(button, "data-closed", closed(pack) ? "yes" : "no");
}

const closed = (pack) => pack.strings.some((string) => string.phase === "closed");

function worstLevel(pack) {
  const found = pack.strings.flatMap((string) => string.faults).map((fault) => fault.level);
  return found.sort((a, b) => LEVELS[b].rank - LEVELS[a].rank)[0];
}

function summary(packs) {
  const total = (key) => (packs.every((pack) => known(pack[key])) ? packs.reduce((sum, pack) => sum + pack[key], 0) : null);
  const power = total("power_W");
  const way = !known(power) ? "" : power > 0 ? " charging" : power < 0 ? " discharging" : "";
  const parts = [
    `${packs.filter(closed).length} of ${plural(packs.length, "pack")} closed`,
    `${withUnit(known(power) ? Math.abs(power) : null, "W")}${way}`,
    `${withUnit(total("energy_Wh"), "Wh")} left`,
  ];
  return parts.join(" · ");
}
