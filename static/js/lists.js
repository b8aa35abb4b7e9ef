// Lists: the count of rows on screen, popovers that close when their choice has been made.
import { number } from "./words.js";

function count() {
  const rows = document.getElementById("list-rows")?.rows.length;
  if (rows === undefined) return;
  document.querySelectorAll("[data-shown]").forEach((place) => (place.textContent = number(rows)));
}

document.addEventListener("htmx:after:swap", () => count());

document.addEventListener("htmx:before:request", (event) => {
  const { sourceElement, sourceEvent } = event.detail.ctx;
  const chosen = sourceEvent?.type === "click" || sourceEvent?.type === "submit"; // not a figure that refreshes itself
  if (chosen) sourceElement.closest(".ly-pop:popover-open")?.hidePopover();
});

count();
