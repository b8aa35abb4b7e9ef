// The palette: opens over any page, arrow keys choose, Enter opens. What it finds comes from the server; what was opened
// lately is remembered by this tab alone.
import { element, icon, words } from "./words.js";

const dialog = document.getElementById("palette");
const KEPT = "palette";
const LATELY = 6;

const input = () => dialog.querySelector("input");
const list = () => dialog.querySelector("[role=listbox]");
const options = () => [...list().querySelectorAll("[role=option]")];

export function open() {
  if (!dialog || dialog.open) return Boolean(dialog);
  document.querySelectorAll(":popover-open").forEach((shown) => shown.hidePopover());
  dialog.showModal();
  input().select();
  window.htmx.trigger(input(), "again");
  return true;
}

function choose(option) {
  options().forEach((other) => other.setAttribute("aria-selected", String(other === option)));
  if (!option) return input().removeAttribute("aria-activedescendant");
  option.id ||= `found-${options().indexOf(option)}-option`;
  input().setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function lately() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

function remember(option) {
  const { label, sign } = option.dataset;
  const url = option.getAttribute("href");
  const kept = [{ url, label, sign }, ...lately().filter((other) => other.url !== url)];
  sessionStorage.setItem(KEPT, JSON.stringify(kept.slice(0, LATELY)));
}

function recent() {
  const kept = lately();
  if (!kept.length) return;
  const links = kept.map(({ url, label, sign }) => {
    const attributes = { class: "ly-opt", role: "option", href: url, tabindex: "-1", "data-label": label, "data-sign": sign };
    return element("a", attributes, icon(sign), element("span", { class: "ly-cut" }, label));
  });
  const title = element("span", { id: "found-recent" }, words.recent);
  list().prepend(element("div", { role: "group", "aria-labelledby": "found-recent" }, title, ...links));
}

function leave(option, aside) {
  remember(option);
  if (aside) window.open(option.href, "_blank", "noopener");
  else location.assign(option.href);
  dialog.close();
}

function pressed(event) {
  const all = options();
  const at = all.findIndex((option) => option.ariaSelected === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && all.length) {
    event.preventDefault();
    choose(all[(at + step + all.length) % all.length]);
  } else if (event.key === "Enter" && all[at] && event.target === input()) {
    event.preventDefault();
    event.stopPropagation();
    leave(all[at], event.ctrlKey || event.metaKey);
  }
}

if (dialog) {
  dialog.addEventListener("keydown", pressed);
  dialog.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) remember(option);
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.target !== list()) return;
    if (!input().value.trim()) recent();
    choose(options()[0]);
  });
  // A click into the field of the top bar; Tab into it leaves a plain form that works by itself.
  document.querySelector("[data-find]")?.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    open();
  });
}
