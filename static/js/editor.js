// The toolbar of a Markdown field: <div data-tools="ID of the textarea" hidden> with <button data-tool="bold">. Wraps what is selected.
const marks = {
  bold: (text) => ["**", text, "**"],
  italic: (text) => ["*", text, "*"],
  code: (text) => (text.includes("\n") ? ["```\n", text, "\n```"] : ["`", text, "`"]),
  link: (text) => (/^https?:\/\//.test(text) ? ["[", "", `](${text})`] : ["[", text, "](https://)"]),
  list: (text) => ["", text.replace(/^/gm, "- "), ""],
};

function apply(field, mark) {
  const [from, to] = [field.selectionStart, field.selectionEnd];
  const [before, text, after] = mark(field.value.slice(from, to));
  field.focus();
  field.setSelectionRange(from, to);
  // execCommand keeps the browser's own undo; it is the only way that does.
  if (!document.execCommand("insertText", false, before + text + after)) {
    field.setRangeText(before + text + after, from, to);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  field.setSelectionRange(from + before.length, from + before.length + text.length);
}

function reveal() {
  document.querySelectorAll("[data-tools][hidden]").forEach((bar) => (bar.hidden = false));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool]");
  const field = button && document.getElementById(button.closest("[data-tools]").dataset.tools);
  if (field) apply(field, marks[button.dataset.tool]);
});

// Ctrl+B and Ctrl+I by the key's place, so that they work in the Russian layout.
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  const name = { KeyB: "bold", KeyI: "italic" }[event.code];
  if (!name || !document.querySelector(`[data-tools="${CSS.escape(event.target.id)}"]`)) return;
  event.preventDefault();
  apply(event.target, marks[name]);
});

document.addEventListener("htmx:after:swap", reveal);
reveal();
