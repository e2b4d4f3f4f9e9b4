// The stream of snapshots, and how old what we show is. Old is told in big letters: nobody may take it for the present.

import { get, text } from "./dom.js";
import { duration } from "./format.js";

const SILENT_ms = 3000; // without a message, what is shown is old

export function follow({ state, event, again, turn }) {
  let last = null; // { now, at } of the newest message
  let began = Date.now();
  const stream = new EventSource("/api/v1/stream");

  stream.addEventListener("state", (message) => {
    last = { now: JSON.parse(message.data), at: Date.now() };
    state(last.now);
    tell();
  });
  stream.addEventListener("event", (message) => event(JSON.parse(message.data)));
  stream.addEventListener("open", () => {
    began = Date.now();
    again();
  });

  function tell() {
    const silent_ms = Date.now() - (last?.at ?? began);
    const lost = silent_ms > SILENT_ms;
    const age_s = last?.now.age_s === null || !last ? null : last.now.age_s + silent_ms / 1000;
    const waiting = !last && !lost;
    const old = !waiting && (lost || last.now.stale);
    showAge(old, waiting, age_s);
    if (old) showStale(lost, age_s);
    if (old === get("stale").hidden) {
      get("stale").hidden = !old;
      document.body.classList.toggle("old", old);
      text(get("alarm"), old ? "No fresh data. Everything on this page is old." : "");
      turn(old);
    }
    const recorder = last?.now.recorder;
    get("recorder").hidden = !recorder || recorder.ok;
    if (recorder) text(get("recorder"), recorder.text);
  }

  window.setInterval(tell, 250);
}

function showAge(old, waiting, age_s) {
  get("live").dataset.state = waiting ? "waiting" : old ? "old" : "live";
  text(get("live-text"), waiting ? "connecting" : old ? (age_s === null ? "no data" : duration(age_s) + " old") : "live");
}

function showStale(lost, age_s) {
  const since = age_s === null ? "No data" : `No fresh data for ${duration(age_s)}`;
  text(get("stale-title"), since);
  text(
    get("stale-text"),
    lost
      ? "The server does not answer. Everything below is old; the battery may be in another state."
      : age_s === null
        ? "Control has not reported yet: the first start compiles its code, which takes a minute, and longer on a small computer."
        : "Control does not report. Everything below is old; the battery may be in another state.",
  );
}
