// Cells edited where they stand: a click or Enter opens the editor, Enter saves, Esc cancels, Tab saves and goes on, and so
// does whoever turns to something else. What is as it was closes without a word.
const base = () => document.getElementById("list")?.dataset.list;
let at = null; // the open cell: {cell, row, place, name, nodes, form, sent, left}; no `form` while the editor is on its way
let next = null; // the cell to go on to: {row, index}
let held = []; // keys pressed while no field was there to take them
let pressing = false; // what is under the mouse stays there until the click is done: a saved row replaces itself

const refused = (form) => form.querySelector("[role=alert]");
const theirs = (form) => form.querySelector("[name=keep]"); // somebody else was faster
const placeOf = (cell) => ({ row: cell.parentElement.id, index: cell.cellIndex });

function changed({ elements: { value } }) {
  return value.options ? [...value.options].some((one) => one.selected !== one.defaultSelected) : value.value !== value.defaultValue;
}

const loaded = async () => window.htmx ?? new Promise((done) => addEventListener("load", done));

function open(button) {
  close();
  const cell = button.closest("td");
  const row = cell.parentElement;
  const mine = { cell, row: row.id, place: row.sectionRowIndex, name: button.dataset.edit, nodes: [...cell.childNodes] };
  at = mine;
  next = null;
  const url = `${base()}/${row.id.split("-").pop()}/cell/${mine.name}${location.search}`;
  const done = () => {
    if (at !== mine) return restore(mine); // cancelled, or another cell was asked for
    if (mine.form) return;
    held = []; // it did not come
    goOn();
  };
  loaded().then(() => window.htmx.ajax("GET", url, { source: cell, target: cell, swap: "beforeend" })).then(done, done);
}

function restore({ cell, nodes }) {
  if (!cell.isConnected || !cell.querySelector("[data-editor]")) return;
  const focused = cell.contains(document.activeElement);
  cell.replaceChildren(...nodes);
  if (focused) cell.querySelector("[data-edit]").focus();
}

function close() {
  const was = at;
  at = null;
  if (was) restore(was);
  return was;
}

// From a cell that is closed or saved to the next one, or back to its row; to the row in its place when it is gone.
function goOn() {
  const to = document.getElementById(next?.row)?.cells[next.index]?.querySelector("[data-edit]");
  const was = close();
  next = null;
  if (to?.isConnected) return open(to);
  held = [];
  if (was.left) return;
  const rows = document.getElementById("list-rows")?.rows ?? [];
  const row = document.getElementById(was.row) ?? rows[Math.min(was.place, rows.length - 1)];
  row?.querySelector(`[data-edit="${was.name}"]`)?.focus();
}

// What is new is saved, and what was refused is asked for again.
function finish() {
  if (at.sent) return;
  if (changed(at.form) || refused(at.form)) at.form.requestSubmit();
  else goOn();
}

// The person has turned to something else. A refused value stays with its reason until it is mended or cancelled.
function leave() {
  if (!at?.form?.isConnected || at.sent || at.form.contains(document.activeElement)) return;
  at.left = document.activeElement;
  if (!refused(at.form) || (changed(at.form) && !theirs(at.form))) finish();
}

function cancel() {
  next = null;
  const keep = theirs(at.form);
  if (keep) at.form.requestSubmit(keep); // what stood there before is no longer true
  else goOn();
}

function neighbour(step) {
  const all = [...new Set([...document.querySelectorAll("#list-rows [data-edit]")].map((found) => found.closest("td")))];
  const found = all[all.indexOf(at.cell) + step];
  return found ? placeOf(found) : null;
}

// What was typed before the field came goes into it, over the value that it shows.
function type(field) {
  const keys = held;
  held = [];
  for (const [index, { key, shiftKey }] of keys.entries()) {
    if (key === "Enter" || key === "Tab") {
      next = key === "Tab" ? neighbour(shiftKey ? -1 : 1) : null;
      held = next ? keys.slice(index + 1) : [];
      return finish();
    }
    if (field.options) continue; // a choice takes no text
    const [from, to] = [field.selectionStart, field.selectionEnd];
    if (key !== "Backspace") field.setRangeText(key, from, to, "end");
    else field.setRangeText("", from === to ? Math.max(from - 1, 0) : from, to, "end");
  }
}

function arrived(form) {
  const first = !at.form;
  const field = form.elements.value;
  at.form = form;
  at.sent = false;
  const elsewhere = at.left?.isConnected && at.left !== document.body;
  if (elsewhere || !form.contains(document.activeElement)) (elsewhere ? at.left : field).focus();
  at.left = null;
  if (first) {
    field.select?.();
    type(field);
  } else {
    next = null; // refused: stay here
    held = [];
  }
}

document.addEventListener("htmx:after:swap", () => {
  const form = at?.cell.isConnected && at.cell.querySelector("[data-editor]");
  if (form && form !== at.form) arrived(form);
  else if (at?.form && !form) goOn();
});

// Nothing came back: the editor is as it was.
document.addEventListener("htmx:finally:request", (event) => {
  if (!at?.form?.isConnected || event.detail.ctx.sourceElement !== at.form) return;
  at.sent = false;
  next = null;
  held = [];
});

// Saving outlives the page when the click that ended it was on a link.
document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement.matches?.("[data-editor]")) ctx.request.keepalive = true;
});

document.addEventListener(
  "submit",
  (event) => {
    if (!at?.form || event.target !== at.form) return;
    if (!at.sent && (changed(at.form) || refused(at.form))) {
      at.sent = true;
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    finish();
  },
  true,
);

document.addEventListener("click", (event) => {
  if (at?.form && event.target.closest?.("[data-cell-cancel]")) return cancel();
  const button = event.target.closest?.("[data-edit]");
  if (!button || !base()) return;
  const onward = placeOf(button.closest("td"));
  if (!at?.form) {
    held = [];
    return open(button);
  }
  const keep = theirs(at.form);
  if (at.sent || keep || changed(at.form)) next = onward;
  if (at.sent) return;
  if (keep) at.form.requestSubmit(keep);
  else if (next) at.form.requestSubmit();
  else open(button);
});

document.addEventListener("focusin", ({ target }) => {
  if (at?.form?.contains(target)) at.left = null;
});
document.addEventListener("focusout", ({ target, relatedTarget }) => {
  if (pressing || !at?.form?.contains(target) || at.form.contains(relatedTarget) || !document.hasFocus()) return;
  leave();
});
document.addEventListener("pointerdown", () => (pressing = true), true);
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(
    end,
    () => {
      pressing = false;
      setTimeout(leave); // after the click
    },
    true,
  );
}

// While a field is on its way, keys are meant for it and are no shortcuts.
function hold(event) {
  if (!at || (at.form && !next) || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.target !== document.body && !at.cell.contains(event.target) && !event.target.closest("[data-edit]")) return false;
  if (event.key.length > 1 && !["Backspace", "Enter", "Tab", "Escape"].includes(event.key)) return false;
  event.preventDefault();
  event.stopPropagation();
  if (event.key !== "Escape") return held.push(event);
  held = [];
  next = null;
  if (!at.form) close();
  return true;
}

document.addEventListener("keydown", hold, true);

document.addEventListener("keydown", (event) => {
  if (!at?.form?.contains(event.target)) return;
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    cancel();
  } else if (event.key === "Tab" && !theirs(at.form)) {
    event.preventDefault();
    next = neighbour(event.shiftKey ? -1 : 1);
    finish();
  }
});

// A cell that was asked for before this script came, and what was typed since.
const { early } = window;
if (early.cell?.isConnected) {
  open(early.cell);
  early.keys = early.keys.filter((event) => !hold(event));
}
