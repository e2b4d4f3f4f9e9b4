// Making and changing elements. Text always goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const get = (id) => document.getElementById(id);

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const h = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);

// Write only what changed: twice a second, thousands of nodes.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function attribute(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function style(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

// Keep one child per item: make what is missing, remove what is too much, update the rest.
export function each(parent, items, make, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make(parent.children.length));
  items.forEach((item, i) => update(parent.children[i], item, i));
}

// A group of buttons of which one is pressed.
export function segments(parent, names, chosen, choose) {
  each(
    parent,
    names,
    (i) => h("button", { type: "button", onclick: () => choose(i) }),
    (button, name, i) => {
      text(button, name);
      attribute(button, "aria-pressed", i === chosen ? "true" : "false");
    },
  );
}

// Size of the page's type against the usual one: a wall display has larger letters, its canvases too.
export const zoom = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 14.8;

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
