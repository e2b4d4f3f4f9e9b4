// The switchgear as a one-line diagram: what is ordered, what the auxiliary contacts say, what is missing to close.

import { attribute, each, get, h, svg, text } from "./dom.js";
import { duration, fixed, known, plural, volts } from "./format.js";

const PHASES = {
  open: "Open",
  minus: "Closing: minus contactor",
  precharge: "Closing: precharge",
  plus: "Closing: plus contactor",
  closed: "Closed",
  ramp: "Limits go to zero before it opens",
  opening: "Opening",
  cooling: "Pause: the precharge resistor cools",
  charge_only: "Charge path only",
  discharge_only: "Discharge path only",
  charge_ramp: "Charge path only, its limit goes to zero before it opens",
  discharge_ramp: "Discharge path only, its limit goes to zero before it opens",
};

// name of the order, of its feedback, label, centre of the contact
const CONTACTORS = [
  ["plus", "plus", "plus", 150, 34],
  ["precharge", "precharge", "precharge", 120, 70],
  ["minus", "minus", "minus", 150, 118],
];
const SWITCHES = [
  ["charge_switch", "charge", "charge", 104, 34],
  ["discharge_switch", "discharge", "discharge", 190, 34],
];

export function gearCard() {
  const phase = h("p", { class: "phase" });
  const drawing = h("div", { class: "diagram" });
  const heading = h("p", { class: "eyebrow" });
  const missing = h("ul", { class: "plain missing" });
  let kind = null;
  let contacts = {};
  let link = null;
  const lifetime = h("p", { class: "dim lifetime" });
  get("gear").append(phase, drawing, heading, missing, lifetime);

  function update({ string }) {
    const now = kindOf(string);
    if (now !== kind) {
      kind = now;
      ({ contacts, link } = draw(drawing, kind));
    }
    const closed = string.phase === "closed";
    text(phase, PHASES[string.phase] ?? string.phase);
    attribute(get("gear"), "data-phase", string.phase);
    text(get("gear-aside"), `for ${duration(string.phase_since_s)} · ${plural(string.closings, "closing")} · wear ${fixed(string.wear_pct, 1)} %`);
    for (const [order, feedback] of kind === "fets" ? SWITCHES : CONTACTORS) {
      const said = string.feedback[feedback];
      const state = said === undefined ? string[order] : said;
      attribute(contacts[order], "data-closed", state === null ? "unknown" : state ? "yes" : "no");
      attribute(contacts[order], "data-wrong", said !== undefined && said !== null && said !== string[order]);
    }
    text(link, known(string.link_voltage_V) ? volts(string.link_voltage_V, 1) : "load");
    attribute(drawing, "aria-label", `${PHASES[string.phase] ?? string.phase}; ${describe(string, kind)}`);
    text(lifetime, lived(string.lifetime));
    text(heading, closed ? "Next" : "Before it closes");
    heading.hidden = string.missing.length === 0;
    each(missing, string.missing, () => h("li"), text);
  }

  return { update };
}

function lived(life) {
  return `So far ${fixed(life.charged_kWh, 0)} kWh in, ${fixed(life.discharged_kWh, 0)} kWh out; ${plural(life.openings, "opening")}, ` +
    `the largest at ${fixed(life.broken_A, 0)} A; ${plural(life.deep_discharges, "deep discharge")}, ` +
    `${plural(life.overcharges, "overcharge")}; ${fixed(life.hot_min, 0)} min hot, ${fixed(life.cold_min, 0)} min cold.`;
}

// The view does not name the kind: FETs have feedback of their two paths, or are on while no contactor is.
function kindOf(string) {
  const feedback = Object.keys(string.feedback);
  if (feedback.some((name) => name === "plus" || name === "minus")) return "contactors";
  if (feedback.some((name) => name === "charge" || name === "discharge")) return "fets";
  return (string.charge_switch || string.discharge_switch) && !string.plus ? "fets" : "contactors";
}

function describe(string, kind) {
  return (kind === "fets" ? SWITCHES : CONTACTORS)
    .map(([order, feedback, label]) => {
      const said = string.feedback[feedback];
      const state = said === undefined ? string[order] : said;
      const wrong = said !== undefined && said !== null && said !== string[order] ? ", not as ordered" : "";
      return `${label} ${state === null ? "unknown" : state ? "closed" : "open"}${wrong}`;
    })
    .join(", ");
}

function draw(parent, kind) {
  const contacts = {};
  const link = svg("text", { x: 262, y: 81, class: "volts", "text-anchor": "middle" });
  const wire = (d) => svg("path", { d, class: "wire" });
  const rows = kind === "fets" ? SWITCHES : CONTACTORS;
  for (const [order, , label, x, y] of rows) contacts[order] = contact(label, x, y);
  const wires =
    kind === "fets"
      ? [wire("M38 58V34H87"), wire("M121 34H173"), wire("M207 34H262V60"), wire("M38 94V118H262V92")]
      : [
          wire("M38 58V34H133"), wire("M167 34H262V60"), wire("M82 34V70H103"), wire("M137 70H150"),
          svg("rect", { x: 150, y: 64, width: 34, height: 12, class: "resistor" }), wire("M184 70H218V34"),
          wire("M38 94V118H133"), wire("M167 118H262V92"),
        ];
  parent.setAttribute("role", "img");
  parent.replaceChildren(
    svg("svg", { viewBox: "0 4 300 142", "aria-hidden": "true" }, ...wires, ...battery(), box(link), ...Object.values(contacts)),
  );
  return { contacts, link };
}

function battery() {
  const plates = [[58, 13], [67, 7], [76, 13], [85, 7], [94, 13]];
  return plates.map(([y, w]) => svg("path", { d: `M${38 - w} ${y}H${38 + w}`, class: "plate" }));
}

function box(link) {
  return svg("g", {}, svg("rect", { x: 232, y: 60, width: 60, height: 32, rx: 6, class: "link" }), link);
}

function contact(label, x, y) {
  return svg(
    "g",
    { class: "contact", transform: `translate(${x} ${y})` },
    svg("circle", { cx: -17, cy: 0, r: 2.6 }),
    svg("circle", { cx: 17, cy: 0, r: 2.6 }),
    svg("path", { d: "M-17 0H17", class: "blade" }),
    svg("text", { x: 0, y: label === "plus" ? -19 : 20, "text-anchor": "middle" }, label),
  );
}
