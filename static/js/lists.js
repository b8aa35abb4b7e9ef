// Lists: the count of rows on screen, their place, what is cut, popovers that close when their choice has been made, the way
// from the search to the rows.
import { first } from "./rows.js";
import { number } from "./words.js";

function count() {
  const rows = document.getElementById("list-rows")?.rows.length;
  if (rows === undefined) return;
  document.querySelectorAll("[data-shown]").forEach((place) => (place.textContent = number(rows)));
}

// A table wider than its place scrolls inside it, both ways, under its own heading; else it goes with the page.
const sizes = new ResizeObserver(() => requestAnimationFrame(fit));

function fit() {
  const place = document.querySelector(".ly-wide");
  const wide = place && place.firstElementChild.offsetWidth > place.clientWidth;
  place?.toggleAttribute("data-wide", wide);
  place?.toggleAttribute("data-fits", !wide);
}

function place() {
  const found = document.querySelector(".ly-wide");
  sizes.disconnect();
  if (!found) return;
  fit();
  sizes.observe(found);
  sizes.observe(found.firstElementChild);
}

document.addEventListener("htmx:after:swap", () => {
  count();
  place();
});

// What a column cuts is read in full under the pointer.
document.addEventListener("pointerover", ({ target }) => {
  for (let cut = target; cut?.closest?.(".ly-wide td"); cut = cut.parentElement) {
    if (cut.clientWidth && cut.scrollWidth > cut.clientWidth && !cut.title) cut.title = cut.textContent.trim();
  }
});

document.addEventListener("htmx:before:request", (event) => {
  const { sourceElement, sourceEvent } = event.detail.ctx;
  const chosen = sourceEvent?.type === "click" || sourceEvent?.type === "submit"; // not a figure that refreshes itself
  if (chosen) sourceElement.closest(".ly-pop:popover-open")?.hidePopover();
});

// From the search field: Enter and the arrow go to the first of the rows that were looked for, Esc back to where one was.
let came = null;
let waiting = false;

document.addEventListener("focusin", ({ target, relatedTarget }) => {
  if (target.matches("[data-search]")) came = relatedTarget?.closest("#list-rows, [data-queue]") ? relatedTarget : null;
});

document.addEventListener("input", (event) => event.target.matches("[data-search]") && (waiting = false));

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.matches?.("[data-search]") || event.isComposing || !["Escape", "Enter", "ArrowDown"].includes(event.key)) return;
  if (event.key === "Escape") {
    event.preventDefault(); // the browser would empty the field
    (came?.isConnected ? came : document.getElementById("main")).focus({ preventScroll: true });
    return;
  }
  const shown = (new URLSearchParams(location.search).get("q") ?? "") === field.value.trim();
  if (shown ? first() : event.key === "ArrowDown") event.preventDefault();
  if (shown) return;
  waiting = true; // until the rows for it are there
  if (event.key === "ArrowDown") field.form.requestSubmit();
});

document.addEventListener("htmx:after:swap", () => {
  if (!waiting) return;
  const field = document.querySelector("[data-search]");
  if ((new URLSearchParams(location.search).get("q") ?? "") !== field?.value.trim()) return;
  waiting = false;
  first();
});

count();
place();
