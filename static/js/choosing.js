// Rows chosen in a list, the bar of what can be done with them, and the menu of one row. The server does the rest.
import { number } from "./words.js";

const ticks = () => [...document.querySelectorAll("#list-rows .ly-tick")];
const bar = () => document.querySelector("[data-bulk]");
let last = null; // where a range begins

export function refresh() {
  const form = bar();
  if (!form) return;
  const all = ticks();
  const chosen = all.filter((tick) => tick.checked);
  const whole = document.querySelector("[data-tick-all]");
  if (whole) {
    whole.checked = chosen.length > 0 && chosen.length === all.length;
    whole.indeterminate = chosen.length > 0 && chosen.length < all.length;
  }
  const every = form.querySelector("[data-all]");
  const more = document.querySelector("#list-more[hx-get], #list-more [rel]");
  every.hidden = !(whole?.checked && more);
  if (every.hidden) every.querySelector("input").checked = false;
  const places = form.querySelector("[data-chosen]");
  places.textContent = every.querySelector("input").checked
    ? "" // the box beside it says so
    : places.dataset.words.replace("%s", number(chosen.length));
  form.toggleAttribute("data-on", chosen.length > 0);
  document.getElementById("list")?.toggleAttribute("data-choosing", chosen.length > 0);
}

function range(from, to) {
  const all = ticks();
  const [low, high] = [all.indexOf(from), all.indexOf(to)].sort((a, b) => a - b);
  if (low >= 0) all.slice(low, high + 1).forEach((tick) => (tick.checked = to.checked));
}

export function toggle(row) {
  const tick = row?.querySelector(".ly-tick");
  if (!tick) return false;
  tick.checked = !tick.checked;
  last = tick;
  refresh();
  return true;
}

document.addEventListener("click", (event) => {
  const tick = event.target.closest?.("#list-rows .ly-tick");
  if (!tick) return;
  if (event.shiftKey && last?.isConnected) range(last, tick);
  last = tick;
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-tick-all]")) ticks().forEach((tick) => (tick.checked = event.target.checked));
  if (event.target.closest(".ly-tick, [data-all], [data-tick-all]")) refresh();
});

document.addEventListener("reset", (event) => {
  if (event.target === bar()) setTimeout(refresh);
});

// A form may hold a thousand fields at most, a selection more rows: the ids travel as one.
document.addEventListener("formdata", (event) => {
  const ids = event.formData.getAll("ids");
  if (ids.length > 1) event.formData.set("ids", ids.join(","));
});

// The menu of a row: one for the whole list, told which row it is about.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-rowmenu]");
  const menu = button && document.getElementById("row-menu");
  if (!menu || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const row = button.closest("tr");
  const useless = (row.dataset.not ?? "").split(" ");
  menu.querySelectorAll("[data-row-id]").forEach((field) => (field.value = row.id.split("-").pop()));
  menu.querySelectorAll("button[name=verb]").forEach((verb) => (verb.closest("form").hidden = useless.includes(verb.value)));
  const edit = menu.querySelector("[data-row-edit]");
  if (edit) edit.href = `${button.pathname}/edit`;
  menu.showPopover({ source: button });
  menu.querySelector("a, form:not([hidden]) button")?.focus();
});

// A verb that asks something first answers with a question; one that is done empties it.
document.addEventListener("htmx:after:swap", () => {
  const dialog = document.getElementById("ask");
  if (dialog?.childElementCount && !dialog.open) {
    dialog.showModal();
    dialog.querySelector("input:not([type=hidden]), select")?.focus();
  } else if (dialog?.open && !dialog.childElementCount) dialog.close();
  refresh();
});

document.addEventListener("close", (event) => event.target.id === "ask" && event.target.replaceChildren(), true);

refresh();
