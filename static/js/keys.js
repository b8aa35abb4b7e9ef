// Keys: the bindings are the rows of the sheet (templates/shell/_keys.html), by the place of a key and not by its letter, so
// that they work in any layout. Each person can switch single keys off, there or in the settings.
import { reach, toggle } from "./choosing.js";
import { open as palette } from "./palette.js";
import { walk } from "./rows.js";
import { pressLast, show } from "./toasts.js";
import { words } from "./words.js";

const sheet = document.getElementById("keys");
const works = sheet?.querySelector("[data-keys-on]"); // the person's own switch
const SEQUENCE = 1200; // how long G waits for its letter
const STEPS = new Set(["next", "previous"]); // what a key that is held down goes on doing

function click(selector) {
  const found = document.querySelector(selector);
  found?.click();
  return Boolean(found);
}

const here = () => document.activeElement.closest?.("#list-rows > tr");

// The form of the row that has the focus.
function editRow() {
  const link = here()?.querySelector("[data-rowmenu]");
  if (!link || !document.querySelector("[data-row-edit]")) return false;
  location.assign(`${link.pathname}/edit`);
  return true;
}

function focus(selector) {
  const found = document.querySelector(selector);
  found?.focus();
  found?.select?.();
  return Boolean(found);
}

const actions = {
  search: () => focus("[data-search]") || palette() || focus("[data-find]"),
  undo: () => pressLast("undo"),
  redo: () => pressLast("redo"),
  sheet: () => sheet.showModal() ?? true,
  next: () => walk(1),
  previous: () => walk(-1),
  create: () => click(".ly-head .btn-primary[href$='/new']"),
  edit: () => editRow() || click(".ly-actions a[href$='/edit']"),
  choose: () => toggle(here()),
  range: () => toggle(here(), true),
  all: () => click("[data-tick-all]"),
  bar: reach,
  reply: () => focus(".ly-compose textarea"),
  go: (row) => location.assign(row.dataset.url) ?? true,
};

const bound = new Map([...(sheet?.querySelectorAll("[data-key]") ?? [])].map((row) => [row.dataset.key, row]));
const typing = (target) => target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

let before = "";
let forget = 0;

function single(event) {
  const asked = event.key === "?" || (event.shiftKey && event.code === "Slash");
  const pressed = asked ? "?" : `${event.shiftKey ? "Shift+" : ""}${event.code}`;
  const row = bound.get(`${before} ${pressed}`) ?? bound.get(pressed);
  clearTimeout(forget);
  before = "";
  if (!row && [...bound.keys()].some((codes) => codes.startsWith(`${pressed} `))) {
    before = pressed;
    forget = setTimeout(() => (before = ""), SEQUENCE);
  }
  return row;
}

function heard(event) {
  if (event.altKey || event.isComposing) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.code !== "KeyK" || event.shiftKey || event.repeat) return;
    if (palette() || focus("[data-find]")) event.preventDefault();
    return;
  }
  if (typing(event.target) || document.querySelector("dialog:modal") || works?.checked === false) return;
  if (event.repeat && !STEPS.has(bound.get(event.code)?.dataset.action)) return;
  const row = single(event);
  if (row && actions[row.dataset.action](row)) event.preventDefault();
}

// From now on, and what has been pressed before.
export function listen() {
  document.addEventListener("keydown", heard);
  document.removeEventListener("keydown", window.early.keep);
  document.removeEventListener("click", window.early.open);
  window.early.keys.forEach(heard);
}

// The arrow keys walk too, where they would scroll nothing: in the queue of tickets, or once a row has the focus.
document.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const inside = event.target.closest?.("#list-rows a, [data-queue]");
  if (inside || (event.target === document.body && document.querySelector("[data-queue]"))) walk(step) && event.preventDefault();
});

works?.addEventListener("change", ({ target: { form } }) =>
  fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" }).catch(() => show(words.offline)),
);

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  document.querySelectorAll("[data-mod]").forEach((key) => (key.textContent = key.textContent.replace("Ctrl", "⌘")));
}
