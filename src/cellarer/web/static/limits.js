// What may flow now and why not more; and the temperatures.

import { attribute, each, get, h, style, text } from "./dom.js";
import { amps, fixed, known, UNKNOWN, volts, withUnit } from "./format.js";

export function limitsCard() {
  const window_ = h("div", { class: "window" });
  const needle = h("div", { class: "needle" });
  const zero = h("div", { class: "zero" });
  const gauge = h("div", { class: "gauge", role: "img" }, window_, zero, needle);
  const rows = h("dl", { class: "reasons" });
  get("limits").append(gauge, rows);

  function update({ string }) {
    const { limits } = string;
    showGauge(string, limits);
    each(
      rows,
      [
        ["charge", "Charge", amps(limits.charge_A), limits.charge_reason, limits.charge_A],
        ["discharge", "Discharge", amps(limits.discharge_A), limits.discharge_reason, limits.discharge_A],
        ["voltage", "Voltage", `${fixed(limits.discharge_V, 1)} … ${volts(limits.charge_V, 1)}`, limits.voltage_reason, 1],
        ["promise", "For 10 s", `↑ ${withUnit(string.power_charge_10s_W, "W")}  ↓ ${withUnit(string.power_discharge_10s_W, "W")}`, "forecast", 1],
      ],
      () => h("div", {}, h("dt"), h("dd", {}, h("b"), h("span"))),
      (row, [key, label, value, reason, size]) => {
        text(row.children[0], label);
        text(row.children[1].children[0], value);
        text(row.children[1].children[1], reason);
        attribute(row, "data-key", key);
        attribute(row, "data-bound", size === 0 ? "zero" : reason === "rated" || reason === "forecast" ? "no" : "yes");
      },
    );
    text(get("limits-aside"), `${withUnit(limits.charge_W, "W")} in · ${withUnit(limits.discharge_W, "W")} out`);
  }

  function showGauge(string, { charge_A, discharge_A }) {
    const reach = 1.12 * Math.max(...[charge_A, discharge_A, Math.abs(string.current_A ?? 0), 1].filter(known));
    const place = (x) => 50 + (50 * x) / reach;
    const [left, right] = [place(-(discharge_A ?? 0)), place(charge_A ?? 0)];
    style(window_, "left", `${left.toFixed(2)}%`);
    style(window_, "width", `${(right - left).toFixed(2)}%`);
    needle.hidden = !known(string.current_A);
    if (known(string.current_A)) style(needle, "left", `${place(string.current_A).toFixed(2)}%`);
    const inside = known(string.current_A) && string.current_A <= charge_A && -string.current_A <= discharge_A;
    attribute(gauge, "data-inside", inside ? "yes" : "no");
    attribute(gauge, "aria-label", `current ${amps(string.current_A)}, allowed ${amps(discharge_A)} discharge to ${amps(charge_A)} charge`);
  }

  return { update };
}

export function tempsCard() {
  const strip = h("div", { class: "strip", role: "img" });
  const scale = h("div", { class: "scale", "aria-hidden": "true" }, h("span"), h("span"), h("span"));
  const chips = h("ul", { class: "chips sensors" });
  get("temps").append(strip, scale, chips);

  function update({ string, pack }) {
    const values = string.temps_degC;
    const good = values.filter(known);
    const [low, high] = [Math.min(...good), Math.max(...good)];
    const [from, to] = good.length ? [Math.min(0, 10 * Math.floor(low / 10)), Math.max(50, 10 * Math.ceil(high / 10))] : [0, 50];
    each(strip, good, () => h("i"), (dot, value) => style(dot, "left", `${((100 * (value - from)) / (to - from)).toFixed(2)}%`));
    attribute(strip, "aria-label", good.length ? `${fixed(low, 1)} to ${fixed(high, 1)} degrees` : "no temperature is known");
    [from, (from + to) / 2, to].forEach((x, i) => text(scale.children[i], `${x}°`));
    each(chips, values.length <= 12 ? values : [], () => h("li", {}, h("span"), h("b")), showSensor);
    text(get("temps-aside"), good.length ? `${fixed(low, 1)} … ${fixed(high, 1)} °C${helpers(pack)}` : UNKNOWN);
    get("temps").hidden = values.length === 0;
  }

  return { update };
}

function showSensor(item, value, i) {
  text(item.children[0], String(i + 1));
  text(item.children[1], known(value) ? `${fixed(value, 1)}°` : "unknown");
}

function helpers({ outputs }) {
  const on = [["heater_pct", "heater"], ["pump_pct", "cooling"]].filter(([key]) => outputs[key] > 0);
  return on.map(([key, name]) => ` · ${name} ${fixed(outputs[key], 0)} %`).join("");
}
