// What happened, newest first.

import { get, h } from "./dom.js";
import { dayOf, fullTime, timeOf } from "./format.js";

const PAGE = 40;
const KINDS = {
  fault: ["!", "fault"], clear: ["✓", "over"], switch: ["⇄", "switchgear"], charge: ["↑", "charging"],
  request: ["→", "request"], refuse: ["✕", "refused"], system: ["·", "system"],
};

export function eventsCard(packs) {
  const list = get("event-list");
  const older = get("events-older");
  const seen = new Set();
  const frozen = new Set();

  function freeze(event) {
    const url = `/api/v1/events/${event.seq}/freeze`;
    return h("span", { class: "freezes" },
      h("a", { href: `${url}.csv`, class: "freeze", title: "a minute before and half a minute after, at full rate" },
        "recording"), " ",
      h("a", { href: `${url}.file`, class: "freeze", title: "for cellarer replay --incident" }, "freeze frame"));
  }

  function item(event) {
    const [sign, word] = KINDS[event.kind] ?? ["·", event.kind];
    const many = packs().length > 1 && event.pack !== null;
    const place = many ? `${packs()[event.pack - 1]?.name ?? `pack ${event.pack}`}: ` : "";
    const today = dayOf(event.unix_s) === dayOf(Date.now() / 1000);
    return h(
      "li",
      { class: "event", "data-kind": event.kind, "data-seq": event.seq },
      h("i", { title: word, "aria-label": word, role: "img" }, sign),
      h("span", {}, place + (event.text || event.name), ...(frozen.has(event.seq) ? [freeze(event)] : [])),
      h("time", { datetime: new Date(event.unix_s * 1000).toISOString(), title: fullTime(event.unix_s) },
        (today ? "" : `${dayOf(event.unix_s)} `) + timeOf(event.unix_s)),
    );
  }

  async function ask(query) {
    const answer = await fetch(`/api/v1/events?limit=${PAGE}${query}`);
    if (!answer.ok) return [];
    const found = await answer.json();
    found.freezes.forEach((seq) => frozen.add(seq));
    return found.events;
  }

  async function load() {
    const found = await ask("");
    seen.clear();
    list.replaceChildren();
    put(found, (node) => list.append(node));
    older.hidden = found.length < PAGE;
    if (!found.length) list.append(h("li", { class: "dim" }, "Nothing has happened yet."));
  }

  function put(events, place) {
    for (const event of events) {
      if (seen.has(event.seq)) continue;
      seen.add(event.seq);
      place(item(event));
    }
  }

  older.addEventListener("click", async () => {
    const found = await ask(`&before=${Math.min(...seen)}`);
    put(found, (node) => list.append(node));
    older.hidden = found.length < PAGE;
  });

  function add(event) {
    list.querySelector(".dim")?.remove();
    put([event], (node) => {
      node.classList.add("new");
      list.prepend(node);
    });
  }

  return { load, add };
}
