// What was: uPlot over the history API, downsampled there to what the screen can show.

import uPlot from "./vendor/uPlot.esm.js";
import { attribute, color, get, segments, text, zoom } from "./dom.js";
import { dayOf, fullTime, timeOf } from "./format.js";

const RANGES = [["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["24 h", 86400], ["7 d", 604800], ["30 d", 2592000], ["1 y", 31536000]];

// title, unit, digits, lines: channel of the pack, label, colour, and what the shade is: minimum and maximum (true),
// plus and minus a channel (its name), or nothing
const WHAT = [
  ["Charge", "%", 1, [["soc_pct", "state of charge", "--soc", "soc_sigma_pct"]]],
  ["Power", "W", 0, [["power_W", "power, + charges", "--charge", true]]],
  ["Current", "A", 1, [["current_A", "current, + charges", "--charge", true], ["limit_charge_A", "charge limit", "--dim", false]]],
  ["Voltage", "V", 2, [["voltage_V", "pack voltage", "--soc", true]]],
  ["Cells", "V", 3, [["string1.highest_V", "highest cell", "--high", true], ["string1.lowest_V", "lowest cell", "--low", true]]],
  ["Heat", "°C", 1, [["string1.temp01_degC", "sensor 1", "--discharge", true], ["string1.temp02_degC", "sensor 2", "--low", false]]],
];
const REFRESH_ms = 15_000;

// now() returns the time of the site in unix seconds.
export function historyCard(now) {
  const chosen = { pack: 0, what: 0, range: 2 };
  const host = get("plot");
  let plot = null;
  let asked = 0;
  let shown = null;

  const choice = (key) => (i) => {
    chosen[key] = i;
    buttons();
    load();
  };
  function buttons() {
    segments(get("history-what"), WHAT.map(([title]) => title), chosen.what, choice("what"));
    segments(get("history-range"), RANGES.map(([title]) => title), chosen.range, choice("range"));
  }

  async function load() {
    asked += 1;
    const mine = asked;
    const [, span] = RANGES[chosen.range];
    const lines = await present(WHAT[chosen.what][3], chosen.pack);
    if (mine !== asked) return;
    const length = Math.max(60, Math.min(span, (now() ?? Infinity) - recorded.begin)); // a young site has little to show
    const query = new URLSearchParams({ from: -length.toFixed(0), points: Math.max(150, Math.min(1500, Math.round(host.clientWidth))) });
    for (const channel of lines.flatMap(channelsOf)) query.append("channel", channel);
    if (!lines.length) return tell("Nothing is recorded of this yet.");
    const answer = await fetch(`/api/v1/history?${query}`);
    if (mine !== asked) return;
    if (!answer.ok) return tell((await answer.json()).detail);
    shown = { data: await answer.json(), lines, span };
    if (mine === asked) draw();
  }

  function tell(words) {
    plot?.destroy();
    plot = null;
    shown = null;
    text(get("plot-note"), words);
  }

  function draw() {
    if (!shown) return;
    const { data, lines, span } = shown;
    if (!data.unix_s.length) return tell("Nothing was recorded in this time.");
    const columns = [data.unix_s];
    for (const line of lines) columns.push(...columnsOf(line, data.series));
    plot?.destroy();
    plot = new uPlot(options(lines, WHAT[chosen.what], host, [data.unix_s[0], data.unix_s.at(-1)], span), columns, host);
    attribute(host, "aria-label", inWords(lines, data, WHAT[chosen.what], RANGES[chosen.range]));
    text(get("plot-note"), data.width_s > 1 ? `Each point covers ${width(data.width_s)}; the shade is ${shadeOf(lines)}.` : "");
  }

  new ResizeObserver(() => plot && plot.width !== host.clientWidth && plot.setSize({ width: host.clientWidth, height: height(host) })).observe(host);
  window.addEventListener("themechange", draw);
  window.setInterval(() => document.visibilityState === "visible" && RANGES[chosen.range][1] <= 86400 && load(), REFRESH_ms);
  buttons();
  return {
    load,
    choose(pack) {
      chosen.pack = pack;
      load();
    },
  };
}

// Only what is recorded may be asked for; what is recorded grows when a site starts, so an empty answer is not kept.
let recorded = { channels: new Set(), begin: Infinity };
async function present(lines, pack) {
  if (!recorded.channels.size) {
    const answer = await fetch("/api/v1/history/channels");
    const known = answer.ok ? await answer.json() : { channels: [] };
    recorded = { channels: new Set(known.channels), begin: known.begin_unix_s ?? Infinity };
  }
  const named = (channel) => (typeof channel === "string" ? `pack${pack + 1}.${channel}` : channel);
  return lines
    .map(([channel, label, tint, shade]) => [named(channel), label, tint, named(shade)])
    .filter((line) => channelsOf(line).every((channel) => recorded.channels.has(channel)));
}

const channelsOf = ([channel, , , shade]) => (typeof shade === "string" ? [channel, shade] : [channel]);

// Upper edge of the shade, lower edge, line.
function columnsOf([channel, , , shade], series) {
  const { min, avg, max } = series[channel];
  if (typeof shade !== "string") return [max, min, avg];
  const sigma = series[shade].avg;
  const shifted = (sign) => avg.map((x, i) => (x === null || sigma[i] === null ? null : x + sign * sigma[i]));
  return [shifted(1), shifted(-1), avg];
}

const shadeOf = (lines) => (lines.some((line) => typeof line[3] === "string") ? "one standard deviation" : "its minimum and maximum");

const width = (s) => (s < 60 ? `${s} s` : s < 3600 ? `${s / 60} min` : s < 86400 ? `${s / 3600} h` : `${s / 86400} d`);
const height = (host) => Math.max(180, Math.min(300, Math.round(host.clientWidth * 0.36)));

function inWords(lines, { series }, [title, unit, digits], [range]) {
  const said = lines.map(([channel, label]) => {
    const known = series[channel].avg.filter((x) => x !== null);
    if (!known.length) return `${label} unknown`;
    const [low, high] = [Math.min(...series[channel].min.filter((x) => x !== null)), Math.max(...series[channel].max)];
    return `${label} ${low.toFixed(digits)} to ${high.toFixed(digits)} ${unit}, now ${known.at(-1).toFixed(digits)}`;
  });
  return `${title}, last ${range}: ${said.join("; ")}`;
}

// Without a cursor the legend shows the newest point.
function rest(plot) {
  const newest = () => plot.setLegend({ idx: plot.data[0].length - 1 });
  plot.over.addEventListener("mouseleave", () => window.setTimeout(newest, 0));
  newest();
}

function tick(t, step) {
  const date = new Date(t * 1000);
  if (step >= 86400) return dayOf(t);
  const time = timeOf(t).slice(0, step < 60 ? 8 : 5);
  return date.getHours() === 0 && date.getMinutes() === 0 && step >= 60 ? dayOf(t) : time;
}

function options(lines, [, unit, digits], host, [begin, end], span) {
  const first = Math.min(Math.max(end - span, begin), end - 60); // one point alone has no width
  const axis = { stroke: color("--dim"), font: `${Math.round(11 * zoom())}px ${color("--font")}`, grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const value = (_, x) => (x === null || x === undefined ? "–" : `${x.toFixed(digits)} ${unit}`);
  const series = [{ label: "at", value: (_, t) => (t === null ? "" : fullTime(t)) }];
  const bands = [];
  for (const [, label, name, shaded] of lines) {
    const stroke = color(name);
    const edge = { show: Boolean(shaded), stroke: "transparent", width: 0, points: { show: false } };
    bands.push({ series: [series.length, series.length + 1], fill: `${stroke}33`, show: Boolean(shaded) });
    series.push({ ...edge, label: `${label}, highest`, value }, { ...edge, label: `${label}, lowest`, value });
    series.push({ label, stroke, width: 1.6, value, points: { show: false } });
  }
  return {
    width: host.clientWidth, height: height(host), series, bands,
    cursor: { points: { size: 6 }, drag: { x: true, y: false } },
    legend: { live: true },
    hooks: { ready: [rest] },
    scales: { x: { time: true, range: (_, low, high) => (low === begin && high === end ? [first, end] : [low, high]) } },
    axes: [{ ...axis, space: 64 * zoom(), size: 34 * zoom(), values: (_, ticks, __, ___, step) => ticks.map((t) => tick(t, step)) }, { ...axis, size: 56 * zoom(), space: 36, values: (_, ticks) => ticks.map((x) => `${x} ${unit}`) }],
  };
}
