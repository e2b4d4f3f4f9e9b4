// Where each cell lies on the canvas, and the drawing itself. Rows are wrapped when bars would become too thin.

import { fixed, known } from "./format.js";

const LEFT = 40; // room for the scale
const MAX_PITCH = 150;

// Heights by number of rows: bars, gap, band of SOC, numbers below.
function heights(rows) {
  if (rows === 1) return { bars: 150, gap: 18, band: 64, foot: 20 };
  if (rows <= 3) return { bars: 92, gap: 12, band: 40, foot: 20 };
  return { bars: 60, gap: 8, band: 26, foot: 18 };
}

// Lengths are for letters of usual size; `width` and the place of a pointer must be divided by the zoom before.
export function layoutOf(count, width, available = 0) {
  const room = Math.max(60, width - LEFT - 12);
  const thin = width < 500 ? 5 : 6.5;
  const rows = Math.max(1, Math.ceil((count * thin) / room));
  const per = Math.max(1, Math.ceil(count / rows));
  const pitch = Math.min(MAX_PITCH, room / per);
  const { bars: least, gap, band, foot } = heights(rows);
  const first = 22; // room for the marks above the first row
  const height = first + rows * (least + gap + band + foot + 14) - 10;
  const bars = Math.min(2 * least, least + Math.max(0, (available - height) / rows));
  const row = bars + gap + band + foot;
  const place = (i) => ({
    x: LEFT + (i % per) * pitch + pitch / 2,
    top: first + Math.floor(i / per) * (row + 14),
  });
  function find(x, y) {
    const r = Math.max(0, Math.min(rows - 1, Math.floor((y - first + 10) / (row + 14))));
    const i = r * per + Math.max(0, Math.min(per - 1, Math.floor((x - LEFT) / pitch)));
    return count === 0 ? null : Math.min(count - 1, i);
  }
  return { count, width, rows, per, pitch, bars, gap, band, foot, row, place, find, height };
}

// A scale around the values, at least `span` wide, so that noise does not look like drama.
function scaleOf(values, span) {
  const good = values.filter(known);
  if (!good.length) return null;
  const [low, high] = [Math.min(...good), Math.max(...good)];
  const wide = Math.max(span, high - low);
  return { from: low - wide * 0.7, to: high + wide * 0.12 };
}

function ticksOf({ from, to }, steps) {
  const step = steps.find((s) => (to - from) / s <= 4.5) ?? steps.at(-1);
  const ticks = [];
  for (let x = Math.ceil(from / step) * step; x <= to; x += step) ticks.push(x);
  return { ticks, digits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)) };
}

export function drawCells(ctx, string, layout, selected, color) {
  const { cells } = string;
  const paint = Object.fromEntries(
    ["bar", "low", "high", "bleed", "ink", "dim", "faint", "line", "bad", "soc", "panel"].map((name) => [name, color(`--${name}`)]),
  );
  ctx.clearRect(0, 0, layout.width, 1e5);
  ctx.font = `11px ${color("--font")}`;
  ctx.textBaseline = "middle";
  const volts = scaleOf(cells.voltage_V, 0.03);
  const soc = scaleOf([
    ...cells.soc_pct.map((x, i) => (known(x) ? x + (cells.soc_sigma_pct[i] ?? 0) : null)),
    ...cells.soc_pct.map((x, i) => (known(x) ? x - (cells.soc_sigma_pct[i] ?? 0) : null)),
  ], 4);
  for (let r = 0; r < layout.rows; r += 1) drawScales(ctx, layout, r, volts, soc, paint);
  cells.voltage_V.forEach((_, i) => drawCell(ctx, string, layout, i, { volts, soc, paint, selected }));
}

function drawScales(ctx, layout, r, volts, soc, paint) {
  const { top } = layout.place(r * layout.per);
  const right = LEFT + Math.min(layout.per, layout.count - r * layout.per) * layout.pitch;
  const panels = [
    [volts, top, layout.bars, [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1], ""],
    [soc, top + layout.bars + layout.gap, layout.band, [1, 2, 5, 10, 20, 50], "%"],
  ];
  ctx.textAlign = "right";
  ctx.lineWidth = 1;
  for (const [scale, y, height, steps, unit] of panels) {
    if (!scale) continue;
    const { ticks, digits } = ticksOf(scale, steps);
    for (const value of height > 30 ? ticks : ticks.slice(0, 1)) {
      const at = Math.round(y + height - (height * (value - scale.from)) / (scale.to - scale.from)) + 0.5;
      ctx.strokeStyle = paint.line;
      ctx.beginPath();
      ctx.moveTo(LEFT, at);
      ctx.lineTo(right, at);
      ctx.stroke();
      ctx.fillStyle = paint.faint;
      ctx.fillText(fixed(value, unit ? 0 : digits) + unit, LEFT - 6, at);
    }
  }
}

function drawCell(ctx, string, layout, i, { volts, soc, paint, selected }) {
  const { cells, lowest_cell, highest_cell } = string;
  const { x, top } = layout.place(i);
  const { pitch, bars } = layout;
  const width = pitch > 10 ? pitch * 0.72 : Math.max(1.5, pitch - 1.5);
  const value = cells.voltage_V[i];
  if (i === selected) {
    ctx.fillStyle = paint.line;
    ctx.fillRect(x - pitch / 2, top - 8, pitch, layout.row + 8);
  }
  if (known(value)) {
    const height = (bars * (value - volts.from)) / (volts.to - volts.from);
    const tint = i + 1 === lowest_cell ? paint.low : i + 1 === highest_cell ? paint.high : cells.bleeding[i] ? paint.bleed : paint.bar;
    ctx.fillStyle = tint;
    ctx.beginPath();
    ctx.roundRect(x - width / 2, top + bars - height, width, height, [Math.min(4, width / 3), Math.min(4, width / 3), 0, 0]);
    ctx.fill();
    if (cells.bleeding[i]) drop(ctx, x, top + bars - height, width, paint);
    mark(ctx, i + 1 === lowest_cell ? "▼" : i + 1 === highest_cell ? "▲" : null, x, top + bars - height, tint, pitch, i + 1);
    if (pitch >= 46) {
      label(ctx, fixed(value, 3), x, top + bars - 11, tint === paint.bar ? paint.ink : paint.panel);
    }
  } else {
    ctx.strokeStyle = paint.bad;
    ctx.setLineDash([3, 3]);
    ctx.strokeRect(x - width / 2, top + bars * 0.3, width, bars * 0.7);
    ctx.setLineDash([]);
  }
  if (soc) drawSoc(ctx, cells, layout, i, x, top + bars + layout.gap, soc, paint);
  const every = pitch >= 15 ? 1 : pitch >= 9 ? 5 : 10;
  if ((i + 1) % every === 0 || (i === 0 && every > 1)) label(ctx, String(i + 1), x, top + layout.row - 7, i === selected ? paint.ink : paint.faint);
}

function drawSoc(ctx, cells, layout, i, x, top, scale, paint) {
  const [value, sigma] = [cells.soc_pct[i], cells.soc_sigma_pct[i]];
  if (!known(value)) return;
  const y = (v) => top + layout.band - (layout.band * (v - scale.from)) / (scale.to - scale.from);
  const half = Math.min(9, layout.pitch * 0.36);
  if (known(sigma)) {
    ctx.globalAlpha = 0.28;
    ctx.fillStyle = paint.soc;
    ctx.beginPath();
    ctx.roundRect(x - half, y(value + sigma), 2 * half, Math.max(2, y(value - sigma) - y(value + sigma)), Math.min(3, half));
    ctx.fill();
    ctx.globalAlpha = 1;
  }
  ctx.fillStyle = paint.soc;
  ctx.fillRect(x - half, y(value) - 1, 2 * half, 2);
}

function drop(ctx, x, y, width, paint) {
  const r = Math.max(1.6, Math.min(4, width / 4));
  ctx.fillStyle = paint.bleed;
  ctx.beginPath();
  ctx.arc(x, y - r - 4, r, 0, 2 * Math.PI);
  ctx.fill();
}

function mark(ctx, sign, x, y, tint, pitch, number) {
  if (!sign) return;
  label(ctx, pitch >= 30 ? `${sign} ${number}` : sign, x, y - (pitch >= 30 ? 10 : 12), tint);
}

function label(ctx, words, x, y, tint) {
  ctx.textAlign = "center";
  ctx.fillStyle = tint;
  ctx.fillText(words, x, y);
}
