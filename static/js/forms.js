// Forms: unsaved changes ask before leaving, counters count, files show their progress. Nothing here is needed to send a form.
import { number, words } from "./words.js";

const changed = new Set();

function mark(form, dirty) {
  dirty ? changed.add(form.id) : changed.delete(form.id);
  form.querySelectorAll("[data-unsaved]").forEach((note) => (note.hidden = !dirty));
}

document.addEventListener("input", (event) => {
  const field = event.target;
  const form = field.form;
  if (form?.matches("[data-guard]")) mark(form, true);
  const counter = field.id && form?.querySelector(`[data-count="${CSS.escape(field.id)}"]`);
  if (counter) counter.textContent = number([...field.value].length);
});

document.addEventListener("change", (event) => {
  const field = event.target;
  if (field.type !== "file" || !field.dataset.limit) return;
  const large = [...field.files].some((file) => file.size > Number(field.dataset.limit));
  field.setCustomValidity(large ? `${words.toobig} ${field.dataset.limitText}` : "");
  field.reportValidity();
});

// Leaving on purpose by sending the form is not leaving without saving; a refused form comes back changed.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-guard], [data-upload]")) return;
  const wasChanged = changed.has(form.id);
  changed.delete(form.id);
  if (form.matches("[data-upload]") && !event.defaultPrevented) {
    event.preventDefault();
    const { send } = await import("./upload.js");
    const stayed = await send(form, event.submitter);
    if (stayed) mark(document.getElementById(form.id) ?? form, wasChanged);
  }
});

document.addEventListener("htmx:after:swap", () => {
  document.querySelectorAll("form[data-guard]:has([data-errors])").forEach((form) => mark(form, true));
});

window.addEventListener("beforeunload", (event) => {
  const open = [...changed].some((id) => document.getElementById(id));
  if (open) event.preventDefault();
});

// Ctrl+Enter sends the form from a text field, as in every chat.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.closest?.("textarea, [contenteditable]")?.closest("form");
  if (form) {
    event.preventDefault();
    form.requestSubmit();
  }
});
