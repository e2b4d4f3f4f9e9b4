// What people may ask for. Opening needs no token; everything else does, and a second look.

import { attribute, get, h, text } from "./dom.js";

// what, button, title of the question, what it means, label of the value, bounds; or the value that is always sent
const ACTIONS = [
  ["close", "Close", "Close the switchgear?", "Control precharges and closes it if nothing speaks against it."],
  ["reset", "Reset faults", "Reset latched faults?", "Only faults whose cause is gone are reset. Look at the battery first."],
  ["confirm", "Accept unknown charge", "Go on without stored state?", "The state of charge is unknown until it has been counted from full or empty."],
  ["zero_current", "Zero current sensor", "Zero the current sensor?", "Only while the switchgear is open and no current can flow."],
  ["set_soc", "Set charge", "Set the state of charge?", "Replaces the estimate of every cell.", "State of charge in %", 0, 100],
  ["target_soc", "Hold at", "Change the charge to hold?", "The charge to hold while nothing else is asked.", "Charge to hold in %", 0, 100],
  ["target_soc", "Hold none", "Hold no charge?", "It charges to full again.", null, "none"],
];

export function operateCard(pack) {
  let [many, closed, doubtful] = [false, true, false];
  const token = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", placeholder: "token of this site" });
  const hint = h("p", { class: "dim" });
  token.value = sessionStorage.getItem("token") ?? "";
  token.addEventListener("change", () => sessionStorage.setItem("token", token.value));

  const buttons = ACTIONS.map((action) => control(action, (value) => act(action, value)));
  const form = h("form", {}, h("label", { for: "token", class: "dim" }, "Token"), token, hint);
  form.addEventListener("submit", (event) => event.preventDefault());
  get("operate").append(form, h("div", { class: "actions" }, ...buttons));
  for (const id of ["open", "open-bar"]) get(id).addEventListener("click", open);

  // What is old does not prove that anything is open.
  function showOpen() {
    for (const id of ["open", "open-bar"]) {
      text(get(id), closed || doubtful ? (many ? "Open …" : "Open") : "Is open");
      attribute(get(id), "data-idle", !(closed || doubtful));
    }
  }

  async function open() {
    const name = pack()?.name;
    const meaning = "What is fed by it loses power. This needs no password.";
    const answer = name
      ? await sure(many ? "Open the switchgear?" : `Open the switchgear of ${name}?`, meaning, many ? `Open ${name}` : "Open now", true, many ? "Open all packs" : null)
      : await sure("Open every pack?", meaning, "Open now", true);
    if (answer !== "no") await send({ what: "open", ...(answer === "yes" && name ? { pack: name } : {}) });
  }

  async function act([what, label, title, meaning], value) {
    const name = pack()?.name;
    const answer = await sure(title, `${name}: ${meaning}`, typeof value === "number" ? `${label} ${value} %` : label);
    if (answer === "yes") {
      await send({ what, pack: name, ...(value === undefined ? {} : { value }) }, token.value.trim());
    }
  }

  return {
    update({ view }) {
      many = view.packs.length > 1;
      closed = view.packs.some((each) => each.strings.some((string) => string.phase !== "open"));
      showOpen();
    },
    doubt(old) {
      doubtful = old;
      showOpen();
    },
    describe(site) {
      text(hint, site.token_hint ?? "Needed for everything but opening; this browser forgets it when the tab is closed.");
    },
  };
}

function control([what, label, , , field, low, high], act) {
  if (!field) return h("button", { type: "button", onclick: () => act(low) }, label);
  const input = h("input", { type: "number", min: low, max: high, step: "0.5", inputmode: "decimal", "aria-label": field, id: `value-${what}` });
  const form = h("form", { class: "with-value" }, input, h("button", { type: "submit" }, `${label} %`));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value !== "" && input.checkValidity()) act(Number(input.value));
    else input.reportValidity();
  });
  return form;
}

// Resolves to "yes", "all" or "no".
function sure(title, meaning, yes, danger = false, all = null) {
  const dialog = get("confirm");
  text(get("confirm-title"), title);
  text(get("confirm-text"), meaning);
  text(get("confirm-yes"), yes);
  text(get("confirm-all"), all ?? "");
  get("confirm-all").hidden = all === null;
  attribute(get("confirm-yes"), "class", danger ? "open" : "go");
  dialog.returnValue = "no";
  dialog.showModal();
  get("confirm-yes").focus();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue || "no"), { once: true }));
}

async function send(body, token) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  try {
    const answer = await fetch("/api/v1/requests", { method: "POST", headers, body: JSON.stringify(body) });
    const told = await answer.json();
    toast(told.answers ? told.answers.map((each) => each.text).join("; ") : told.detail, answer.ok);
  } catch (error) {
    toast(`The server does not answer (${error.message}). Use the emergency stop at the battery.`, false);
  }
}

let fading = 0;
function toast(words, good) {
  const node = get("toast");
  text(node, words);
  attribute(node, "data-good", good ? "yes" : "no");
  node.classList.add("shown");
  window.clearTimeout(fading);
  fading = window.setTimeout(() => node.classList.remove("shown"), 8000);
}
