// Keys: the bindings are the rows of the sheet (templates/shell/_keys.html), by the place of a key and not by its letter, so
// that they work in any layout. Each person can switch single keys off, there or in the settings.
import { toggle } from "./choosing.js";
import { open as palette } from "./palette.js";
import { show } from "./toasts.js";
import { words } from "./words.js";

const sheet = document.getElementById("keys");
const works = sheet?.querySelector("[data-keys-on]"); // the person's own switch
const SEQUENCE = 1200; // how long G waits for its letter
const rows = "#list-rows > tr a[href]:not(.ly-item, .ly-rowmenu), [data-queue] li > a";

// One link a row: the first.
function links() {
  const seen = new Set();
  return [...document.querySelectorAll(rows)].filter((link) => {
    const row = link.closest("tr, li");
    return !seen.has(row) && seen.add(row);
  });
}

function walk(step) {
  const all = links();
  const row = document.activeElement.closest?.("tr, li");
  const from = all.findIndex((link) => (row ? row.contains(link) : link.ariaCurrent));
  const next = all[from < 0 ? 0 : Math.min(Math.max(from + step, 0), all.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}

function click(selector) {
  const found = document.querySelector(selector);
  found?.click();
  return Boolean(found);
}

// The form of the row that has the focus.
function editRow() {
  const link = document.activeElement.closest?.("#list-rows > tr")?.querySelector("[data-rowmenu]");
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
  undo: () => click("#toasts [data-undo]:last-of-type form button"),
  sheet: () => sheet.showModal() ?? true,
  next: () => walk(1),
  previous: () => walk(-1),
  create: () => click(".ly-head .btn-primary[href$='/new']"),
  edit: () => editRow() || click(".ly-actions a[href$='/edit']"),
  choose: () => toggle(document.activeElement.closest?.("#list-rows > tr")),
  reply: () => focus(".ly-compose textarea"),
  go: (row) => location.assign(row.dataset.url) ?? true,
};

const bound = new Map([...(sheet?.querySelectorAll("[data-key]") ?? [])].map((row) => [row.dataset.key, row]));
const typing = (target) => target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

let before = "";
let forget = 0;

function single(event) {
  const asked = event.key === "?" || (event.shiftKey && event.code === "Slash");
  if (event.shiftKey && !asked) return null;
  const pressed = asked ? "?" : event.code;
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
  if (event.altKey || event.repeat || event.isComposing) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.code !== "KeyK" || event.shiftKey) return;
    if (palette() || focus("[data-find]")) event.preventDefault();
    return;
  }
  if (typing(event.target) || document.querySelector("dialog:modal") || works?.checked === false) return;
  const row = single(event);
  if (row && actions[row.dataset.action](row)) event.preventDefault();
}

document.addEventListener("keydown", heard);
document.removeEventListener("keydown", window.early.keep);
window.early.keys.forEach(heard);

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
