// What is pressed before keys.js and cells.js have come, which take it up. No module, so that it runs first.
window.early = {
  keys: [],
  cell: null, // the button of one that was to be edited: the keys since then are for its field
  keep(event) {
    const search = (event.ctrlKey || event.metaKey) && event.code === "KeyK"; // the browser's own
    const typed = event.key.length === 1 || event.key === "Enter" || event.key === "Backspace";
    const typing = typed && !(event.ctrlKey || event.metaKey || event.altKey);
    if (search || (typing && early.cell && early.cell === event.target)) event.preventDefault();
    early.keys.push(event);
  },
  open({ target }) {
    const cell = target.closest?.("[data-edit]");
    if (cell || early.cell) Object.assign(early, { cell: cell ?? null, keys: [] });
  },
};
document.addEventListener("keydown", early.keep);
document.addEventListener("click", early.open);
