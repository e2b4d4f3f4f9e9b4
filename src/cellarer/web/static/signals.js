// Digital inputs and outputs of the pack, each in words with what it says now.

import { attribute, each, get, h, text } from "./dom.js";
import { known, words } from "./format.js";

const ALARMS = new Set(["emergency_stop", "interlock_open", "crash", "gas", "pre_alarm", "buzzer"]);

export function signalsCard() {
  function update({ pack }) {
    const facts = [...Object.entries(pack.inputs), ...Object.entries(pack.outputs)].filter(([, value]) => !known(value));
    get("signals").hidden = facts.length === 0;
    each(get("signal-list"), facts, () => h("li"), (item, [name, value]) => {
      text(item, value === null ? `${words(name)} unknown` : `${value ? "" : "no "}${words(name)}`);
      attribute(item, "data-tone", value === null ? "unknown" : !value ? "off" : ALARMS.has(name) ? "bad" : "good");
    });
  }
  return { update };
}
