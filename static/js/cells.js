// Cells edited where they stand: a click or Enter opens the editor, Enter saves, Esc cancels, Tab saves and goes on.
const base = () => document.getElementById("list")?.dataset.list;
let before = null; // what stood in the open cell
let next = null; // the cell that Tab goes on to: {row, name}

function open(button) {
  const cell = button.closest("td");
  const row = cell.parentElement.id.split("-").pop();
  cancel();
  before = { cell, row: cell.parentElement.id, nodes: [...cell.childNodes], name: button.dataset.edit };
  const url = `${base()}/${row}/cell/${button.dataset.edit}${location.search}`;
  window.htmx.ajax("GET", url, { target: cell, swap: "innerHTML" }).then(() => {
    const field = cell.querySelector("[name=value]");
    field?.focus();
    field?.select?.();
  });
}

function cancel() {
  if (!before?.cell.isConnected) return;
  before.cell.replaceChildren(...before.nodes);
  before.cell.querySelector(`[data-edit="${before.name}"]`)?.focus();
  before = null;
}

function neighbour(cell, step) {
  const all = [...document.querySelectorAll("#list-rows [data-edit], #list-rows [data-editor]")].map((found) => found.closest("td"));
  const found = all[all.indexOf(cell) + step];
  return found ? { row: found.parentElement.id, index: found.cellIndex } : null;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-edit]");
  if (button && base()) open(button);
});

document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("[data-editor]");
  if (!form || !document.getElementById("list")) return;
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    next = null;
    cancel();
  } else if (event.key === "Tab") {
    event.preventDefault();
    next = neighbour(form.closest("td"), event.shiftKey ? -1 : 1);
    form.requestSubmit();
  }
});

document.addEventListener("htmx:after:swap", () => {
  const editor = document.querySelector("#list-rows [data-editor]");
  if (editor) {
    if (before) before.shown = true;
    if (editor.querySelector("[role=alert]")) {
      next = null; // refused: stay here
      editor.querySelector("[name=value]").focus();
    }
    return;
  }
  if (before && !before.shown) return; // something else has been swapped, the editor is on its way
  const saved = before;
  before = null;
  const cell = next && document.getElementById(next.row)?.cells[next.index];
  next = null;
  const button = cell?.querySelector("[data-edit]");
  if (button) open(button);
  else if (saved) document.getElementById(saved.row)?.querySelector(`[data-edit="${saved.name}"]`)?.focus();
});
