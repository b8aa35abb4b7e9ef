// The palette: opens over any page, arrow keys choose, Enter opens. What it finds, and what was opened lately, comes from
// the server.
const dialog = document.getElementById("palette");

const input = () => dialog.querySelector("input");
const list = () => dialog.querySelector("[role=listbox]");
const options = () => [...list().querySelectorAll("[role=option]")];
// What was typed when the results were asked for, what those that stand there are for, and whether Enter waits for its own.
let asked = null;
let shown = null;
let waiting = false;

export function open() {
  if (!dialog || dialog.open) return Boolean(dialog);
  document.querySelectorAll(":popover-open").forEach((shown) => shown.hidePopover());
  dialog.showModal();
  shown = null;
  waiting = false;
  input().select();
  window.htmx?.trigger(input(), "again");
  return true;
}

function choose(option) {
  options().forEach((other) => other.setAttribute("aria-selected", String(other === option)));
  if (!option) return input().removeAttribute("aria-activedescendant");
  option.id ||= `found-${options().indexOf(option)}-option`;
  input().setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function leave(option, aside) {
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
  } else if (event.key === "Enter" && event.target === input() && shown !== input().value && !waiting) {
    event.preventDefault(); // the results of what was typed are on their way; a second Enter goes to the page of all
    event.stopPropagation();
    waiting = true;
  } else if (event.key === "Enter" && all[at] && event.target === input()) {
    event.preventDefault();
    event.stopPropagation();
    leave(all[at], event.ctrlKey || event.metaKey);
  } else if (event.key === "Escape") {
    event.preventDefault(); // a search field would only be emptied
    dialog.close();
  }
}

if (dialog) {
  dialog.addEventListener("keydown", pressed);
  input().addEventListener("input", () => (waiting = false));
  // Who was faster than htmx has opened a list that nobody asked the server for.
  input().addEventListener("htmx:after:init", () => dialog.open && window.htmx.trigger(input(), "again"));
  document.addEventListener("htmx:before:request", (event) => {
    if (event.detail.ctx.sourceElement === input()) asked = input().value;
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.target !== list()) return;
    shown = asked;
    const first = options()[0];
    choose(first);
    if (waiting && first && shown === input().value) leave(first, false);
  });
  // A click into the field of the top bar; Tab into it leaves a plain form that works by itself.
  document.querySelector("[data-find]")?.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    open();
  });
}
