// Every cell: voltage as a bar, state of charge with its sigma band below. One canvas for 3 cells and for 400.

import { attribute, color, get, h, style, text, zoom } from "./dom.js";
import { fixed, known, plural, volts } from "./format.js";
import { drawCells, layoutOf } from "./cells_draw.js";

export function cellsCard() {
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-describedby": "cell-tip" });
  const tip = h("p", { class: "tip", id: "cell-tip", role: "status", hidden: true });
  const legend = h("p", { class: "legend dim" });
  const idle = h("p", { class: "idle dim" });
  const table = h("table", {});
  const details = h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll" }, table));
  const stage = h("div", { class: "stage" }, canvas, tip);
  let string = null;
  let selected = null;
  get("cells").append(stage, legend, idle, details);

  // The card may be higher than it must be: bars grow into the room. The canvas hangs in the stage and does not widen it.
  function layoutNow() {
    const count = string?.cells.voltage_V.length ?? 0;
    style(stage, "min-height", `${layoutOf(count, stage.clientWidth / zoom()).height * zoom()}px`);
    return layoutOf(count, stage.clientWidth / zoom(), stage.clientHeight / zoom());
  }

  function draw() {
    if (!string) return;
    const layout = layoutNow();
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [stage.clientWidth, stage.clientHeight].map((x) => Math.round(x * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(ratio * zoom(), 0, 0, ratio * zoom(), 0, 0);
    drawCells(context, string, layout, selected, color);
    showTip(layout);
  }

  function showTip(layout) {
    tip.hidden = selected === null;
    if (selected === null) return;
    const { x, top } = layout.place(selected);
    text(tip, describe(string, selected));
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.max(half, Math.min(stage.clientWidth - half, x * zoom()))}px`;
    tip.style.top = `${top * zoom()}px`;
  }

  function select(index) {
    const count = string?.cells.voltage_V.length ?? 0;
    selected = index === null || count === 0 ? null : Math.max(0, Math.min(count - 1, index));
    draw();
  }

  const at = (event) => {
    const area = canvas.getBoundingClientRect();
    select(layoutNow().find((event.clientX - area.left) / zoom(), (event.clientY - area.top) / zoom()));
  };
  canvas.addEventListener("pointermove", at);
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("pointerleave", () => select(null));
  canvas.addEventListener("blur", () => select(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") select(null);
    if (event.key === "Home") select(0);
    if (event.key === "End") select(Infinity);
    if (step) select(selected === null ? 0 : selected + step);
    if (step || event.key === "Home" || event.key === "End") event.preventDefault();
  });
  new ResizeObserver(draw).observe(stage);
  window.addEventListener("themechange", draw);

  function update(context) {
    string = context.string;
    const { cells, lowest_cell, highest_cell, lowest_V, highest_V } = string;
    const count = cells.voltage_V.length;
    get("cells").hidden = count === 0 && !known(lowest_V);
    text(get("cells-title"), context.many ? `${context.pack.name} · ${plural(count, "cell")}` : plural(count, "cell"));
    const spread = known(lowest_V) && known(highest_V) ? ` · spread ${fixed(1000 * (highest_V - lowest_V), 0)} mV` : "";
    const extremes = `lowest ${name(lowest_cell)} ${volts(lowest_V)} · highest ${name(highest_cell)} ${volts(highest_V)}${spread}`;
    text(get("cells-aside"), known(lowest_V) || known(highest_V) ? extremes : "no cell voltage is known");
    attribute(canvas, "aria-label", `${plural(count, "cell")}, ${get("cells-aside").textContent}. Arrow keys go through the cells.`);
    showLegend(legend, cells);
    const why = string.balancing.missing.join("; ");
    text(idle, why && `Not balanced now: ${why}.`);
    draw();
    if (details.open) fillTable(table, string);
  }

  return { update };
}

const name = (cell) => (cell === null ? "–" : `#${cell}`);

function showLegend(legend, { bleeding, voltage_V }) {
  const bled = bleeding.map((on, i) => (on ? `#${i + 1}` : null)).filter(Boolean);
  const gone = voltage_V.filter((v) => !known(v)).length;
  const parts = [];
  if (bled.length) parts.push(`${plural(bled.length, "cell")} bleeding: ${bled.slice(0, 12).join(" ")}${bled.length > 12 ? " …" : ""}`);
  if (gone) parts.push(`${plural(gone, "cell")} without a fresh voltage`);
  text(legend, parts.join(" · "));
}

function describe(string, i) {
  const { voltage_V, soc_pct, soc_sigma_pct, bleeding, capacity_Ah, resistance_pct } = string.cells;
  const parts = [`Cell ${i + 1}`, volts(voltage_V[i]), `${fixed(soc_pct[i], 1)} ± ${fixed(soc_sigma_pct[i], 1)} %`];
  if (known(capacity_Ah[i])) parts.push(`${fixed(capacity_Ah[i], 1)} Ah`);
  if (known(resistance_pct[i])) parts.push(`R ${fixed(resistance_pct[i], 0)} %`);
  if (bleeding[i]) parts.push("bleeding");
  return parts.join("  ·  ");
}

function fillTable(table, string) {
  const { voltage_V, soc_pct, soc_sigma_pct, capacity_Ah, resistance_pct, bleeding } = string.cells;
  const heads = ["Cell", "V", "SOC %", "± %", "Ah", "R %", ""];
  const rows = voltage_V.map((v, i) => [
    String(i + 1), fixed(v, 3), fixed(soc_pct[i], 1), fixed(soc_sigma_pct[i], 1), fixed(capacity_Ah[i], 1),
    fixed(resistance_pct[i], 0), bleeding[i] ? "bleeding" : "",
  ]);
  table.replaceChildren(
    h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((value) => h("td", {}, value))))),
  );
}
