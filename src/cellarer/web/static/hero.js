// State of charge with its sigma band, power with its direction, and the few numbers that everybody asks for.

import { attribute, get, h, style, text } from "./dom.js";
import { duration, fixed, known, scaled, signed, UNKNOWN, volts, withUnit } from "./format.js";

const FACTS = [
  ["voltage", "Voltage"],
  ["current", "Current"],
  ["energy", "Energy left"],
  ["time", "Time to go"],
  ["health", "Health"],
  ["phase", "Charge phase"],
];

export function heroCard() {
  const soc = h("b", { class: "huge" });
  const sigma = h("span", { class: "sigma" });
  const level = h("div", { class: "level" });
  const band = h("div", { class: "band" });
  const edge = h("div", { class: "edge" });
  const better = h("p", { class: "better" });
  const vessel = h("div", { class: "vessel", role: "img" }, level, band, edge);
  const power = h("b", { class: "big" });
  const unit = h("span", { class: "unit" });
  const way = h("span", { class: "way" });
  const flow = h("div", { class: "flow", "aria-hidden": "true" });
  const facts = Object.fromEntries(FACTS.map(([key]) => [key, h("dd")]));
  const name = h("p", { class: "eyebrow" });

  get("hero").append(
    h("div", { class: "charge" }, name, h("p", {}, soc, h("span", { class: "unit" }, "%"), sigma), vessel, ticks(), better),
    h("div", { class: "power" }, h("p", { class: "eyebrow" }, "Power"), h("p", {}, power, unit), way, flow),
    h("dl", { class: "facts" }, ...FACTS.map(([key, label]) => h("div", {}, h("dt", {}, label), facts[key]))),
  );

  function update({ pack, string, many }) {
    text(name, many ? `${pack.name} · state of charge` : "State of charge");
    text(soc, fixed(pack.soc_pct, 1));
    text(sigma, known(pack.soc_sigma_pct) ? `± ${fixed(pack.soc_sigma_pct, 1)} %` : "uncertainty unknown");
    showVessel(pack);
    text(better, string.better_known_by[0] ?? "");
    attribute(better, "title", string.better_known_by.slice(1).join("\n") || null);
    const moving = known(pack.power_W) && Math.abs(pack.power_W) >= 1;
    const direction = !known(pack.power_W) ? "unknown" : !moving ? "idle" : pack.power_W > 0 ? "charging" : "discharging";
    const [number, kilo] = scaled(known(pack.power_W) ? Math.abs(pack.power_W) : null, "W");
    text(power, number);
    text(unit, kilo);
    text(way, direction);
    attribute(get("hero"), "data-way", direction);
    text(facts.voltage, volts(pack.voltage_V, pack.voltage_V >= 100 ? 1 : 2));
    text(facts.current, known(pack.current_A) ? `${signed(pack.current_A, 1)} A` : UNKNOWN);
    text(facts.energy, withUnit(pack.energy_Wh, "Wh"));
    text(facts.time, timeToGo(pack));
    text(facts.health, known(pack.soh_pct) ? `${fixed(pack.soh_pct, 1)} %` : UNKNOWN);
    text(facts.phase, string.charge_phase);
  }

  function showVessel({ soc_pct, soc_sigma_pct }) {
    attribute(vessel, "data-unknown", !known(soc_pct));
    attribute(vessel, "aria-label", known(soc_pct) ? `${fixed(soc_pct, 0)} percent full` : "state of charge unknown");
    if (!known(soc_pct)) return;
    const s = known(soc_sigma_pct) ? soc_sigma_pct : 0;
    const low = Math.max(0, soc_pct - s);
    style(level, "width", `${low.toFixed(2)}%`);
    style(band, "left", `${low.toFixed(2)}%`);
    style(band, "width", `${(Math.min(100, soc_pct + s) - low).toFixed(2)}%`);
    style(edge, "left", `${soc_pct.toFixed(2)}%`);
  }

  return { update };
}

function ticks() {
  return h("div", { class: "ticks", "aria-hidden": "true" }, ...[0, 25, 50, 75, 100].map((x) => h("span", {}, String(x))));
}

function timeToGo({ time_to_empty_s, time_to_full_s }) {
  if (known(time_to_full_s)) return `${duration(time_to_full_s)} to full`;
  if (known(time_to_empty_s)) return `${duration(time_to_empty_s)} to empty`;
  return UNKNOWN;
}

