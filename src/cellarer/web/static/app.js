// The page: one stream of snapshots, one updater per card, one choice of pack and string.

import { bankCard } from "./bank.js";
import { cellsCard } from "./cells.js";
import { get, h, each, segments, text } from "./dom.js";
import { eventsCard } from "./events.js";
import { faultsCard } from "./faults.js";
import { plural, timeOf, words } from "./format.js";
import { gearCard } from "./gear.js";
import { heroCard } from "./hero.js";
import { historyCard } from "./history.js";
import { limitsCard, tempsCard } from "./limits.js";
import { follow } from "./live.js";
import { operateCard } from "./operate.js";
import { signalsCard } from "./signals.js";

const chosen = { pack: 0, string: 0 };
let newest = null;

const choosePack = (pack) => {
  Object.assign(chosen, { pack, string: 0 });
  show();
  history.choose(pack);
};

const bank = bankCard(choosePack);
const updaters = [heroCard(), cellsCard(), faultsCard(), gearCard(), limitsCard(), tempsCard(), signalsCard()];
const operate = operateCard(() => newest?.packs[chosen.pack]);
const history = historyCard(() => newest?.unix_s);
const events = eventsCard(() => newest?.packs ?? []);

function show() {
  if (!newest) return;
  const view = newest;
  chosen.pack = Math.min(chosen.pack, view.packs.length - 1);
  const pack = view.packs[chosen.pack];
  chosen.string = Math.min(chosen.string, pack.strings.length - 1);
  const context = { view, pack, string: pack.strings[chosen.string], many: view.packs.length > 1 };
  bank.update(view, chosen.pack);
  showStrings(pack);
  for (const card of updaters) card.update(context);
  operate.update(context);
  showSite(view);
  document.getElementById("main").removeAttribute("data-waiting");
}

function showStrings(pack) {
  const names = pack.strings.map((_, i) => `String ${i + 1}`);
  get("strings").hidden = names.length < 2;
  segments(get("strings"), names, chosen.string, (i) => {
    chosen.string = i;
    show();
  });
}

function showSite(view) {
  text(get("site"), words(view.site));
  text(get("clock"), timeOf(view.unix_s));
  text(
    get("foot"),
    `configuration ${view.config_hash.slice(0, 12)} · cycle ${view.cycle.toLocaleString()} · ${plural(view.overruns, "overrun")}`,
  );
  each(get("blind-list"), view.not_protected, () => h("li"), text);
  get("blind").hidden = view.not_protected.length === 0;
  document.title = title(view);
}

function title(view) {
  const soc = view.packs[0].soc_pct;
  const faults = view.packs.flatMap((pack) => pack.strings).flatMap((string) => string.faults);
  const worst = faults.some((fault) => fault.level === "open" || fault.level === "ramp") ? "⚠ " : "";
  return `${worst}${view.packs.length === 1 && soc !== null ? `${soc.toFixed(0)} % · ` : ""}${view.site} · Cellarer`;
}

async function readSite() {
  const answer = await fetch("/api/v1/site");
  if (!answer.ok) return;
  const site = await answer.json();
  text(get("note"), site.note ?? "");
  operate.describe(site);
}

follow({
  state(now) {
    if (now.state) newest = now.state;
    show();
  },
  event(event) {
    events.add(event);
  },
  turn(old) {
    operate.doubt(old);
  },
  again() {
    events.load();
    history.load();
  },
});
readSite();
