// Rows chosen in a list, the bar of what can be done with them, and the menu of one row. The server does the rest.
import { number } from "./words.js";

const ticks = () => [...document.querySelectorAll("#list-rows .ly-tick")];
const bar = () => document.querySelector("[data-bulk]");
const rowOf = (element) => element?.closest?.("#list-rows > tr");
let last = ""; // the id of the row where a range begins
let from = null; // the row that the keyboard came from to the bar
let kept = []; // the ids that stay chosen while one row is drawn anew

const every = () => bar()?.querySelector("[data-all] input"); // all that match, also what is not on screen yet

export function refresh() {
  const form = bar();
  if (!form) return;
  const all = ticks();
  const box = every();
  if (box.checked) all.forEach((tick) => (tick.checked = true));
  const chosen = all.filter((tick) => tick.checked);
  const whole = document.querySelector("[data-tick-all]");
  if (whole) {
    whole.checked = chosen.length > 0 && chosen.length === all.length;
    whole.indeterminate = chosen.length > 0 && chosen.length < all.length;
  }
  const more = document.querySelector("#list-more[hx-get], #list-more [rel]");
  box.closest("[data-all]").hidden = !(box.checked || (whole?.checked && more));
  const places = form.querySelector("[data-chosen]");
  places.textContent = box.checked
    ? "" // the box beside it says so
    : places.dataset.words.replace("%s", number(chosen.length));
  form.toggleAttribute("data-on", chosen.length > 0);
  document.getElementById("list")?.toggleAttribute("data-choosing", chosen.length > 0);
}

// From the last row chosen to this one, which are all as that one is.
function range(tick) {
  const all = ticks();
  const begin = all.findIndex((one) => one.value === last);
  const [low, high] = [begin, all.indexOf(tick)].sort((a, b) => a - b);
  if (begin >= 0) all.slice(low, high + 1).forEach((one) => (one.checked = tick.checked));
}

// What a key does to the row: choosing it, or all from the last one to it.
export function toggle(row, whole = false) {
  const tick = row?.querySelector(".ly-tick");
  if (!tick) return false;
  const begin = whole && ticks().find((one) => one.value === last);
  tick.checked = begin ? begin.checked : !tick.checked;
  if (begin) range(tick);
  last = tick.value;
  if (!tick.checked) every().checked = false;
  refresh();
  return true;
}

// The keyboard goes to what can be done with the chosen rows, and by Esc back to its row.
export function reach() {
  const verb = bar()?.matches("[data-on]") && bar().querySelector("[name=verb]");
  if (!verb) return false;
  from = rowOf(document.activeElement);
  verb.focus();
  return true;
}

// Enter on a box would send its form by the first verb, which nobody has chosen.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches?.(".ly-tick, [data-all] input")) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !event.target.closest?.("[data-bulk]")) return;
  if (bar().querySelector(":popover-open")) return; // which the browser closes
  event.preventDefault();
  const row = from?.isConnected ? from : ticks().find((tick) => tick.checked)?.closest("tr");
  row?.querySelector("a[href]")?.focus();
});

document.addEventListener("click", (event) => {
  const tick = event.target.closest?.("#list-rows .ly-tick");
  if (!tick) return;
  if (event.shiftKey) range(tick);
  last = tick.value;
});

document.addEventListener("change", (event) => {
  const { target } = event;
  if (!target.matches(".ly-tick, [data-all] input")) return;
  if (!target.checked) every().checked = false; // nothing else ends it
  if (target.matches("[data-tick-all]")) ticks().forEach((tick) => (tick.checked = target.checked));
  refresh();
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

// Whoever edits one row or acts on it alone goes on with what was chosen; a verb on all that were ends the choice.
document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
  const alone = ctx.sourceElement?.closest?.("[data-editor], #row-menu");
  kept = alone ? ticks().filter((tick) => tick.checked).map((tick) => tick.value) : [];
});

// A verb that asks something first answers with a question; one that is done empties it.
document.addEventListener("htmx:after:swap", (event) => {
  if (event.detail.ctx.target?.id === "list" && every()) every().checked = false; // other rows match now
  ticks().forEach((tick) => (tick.checked ||= kept.includes(tick.value)));
  const dialog = document.getElementById("ask");
  if (dialog?.childElementCount && !dialog.open) {
    dialog.showModal();
    dialog.querySelector("input:not([type=hidden]), select")?.focus();
  } else if (dialog?.open && !dialog.childElementCount) dialog.close();
  refresh();
});

document.addEventListener("close", (event) => event.target.id === "ask" && event.target.replaceChildren(), true);

refresh();
