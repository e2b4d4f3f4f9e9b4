// Numbers for people. Unknown (null) is an en dash, never a zero.

export const UNKNOWN = "–";
export const known = (x) => typeof x === "number" && Number.isFinite(x);

export const fixed = (x, digits) => (known(x) ? x.toFixed(digits).replace("-", "−") : UNKNOWN);
export const signed = (x, digits) => (known(x) && Number(x.toFixed(digits)) > 0 ? "+" : "") + fixed(x, digits);

// Three significant digits and the right prefix: [ "2.41", "kW" ].
export function scaled(x, unit) {
  if (!known(x)) return [UNKNOWN, unit];
  const size = Math.abs(x);
  if (size >= 1e6) return [fixed(x / 1e6, size >= 1e7 ? 1 : 2), `M${unit}`];
  if (size >= 1e3) return [fixed(x / 1e3, size >= 1e5 ? 0 : size >= 1e4 ? 1 : 2), `k${unit}`];
  return [fixed(x, size >= 100 || unit === "W" || unit === "Wh" ? 0 : 1), unit];
}

export const withUnit = (x, unit) => scaled(x, unit).join(" ");
export const volts = (x, digits = 3) => `${fixed(x, digits)} V`;
export const amps = (x) => `${fixed(x, known(x) && Math.abs(x) >= 100 ? 0 : 1)} A`;

export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.round(s / 86400)} d`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const timeOf = (unix) => TIME.format(new Date(unix * 1000));
export const dayOf = (unix) => DAY.format(new Date(unix * 1000));
export const fullTime = (unix) => FULL.format(new Date(unix * 1000));

export const words = (name) => name.replaceAll("_", " ");
export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
