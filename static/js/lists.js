// Lists: the count of rows on screen, and popovers that close when their choice has been made.
import { number } from "./words.js";

function count() {
  const rows = document.getElementById("list-rows")?.rows.length;
  if (rows === undefined) return;
  document.querySelectorAll("[data-shown]").forEach((place) => (place.textContent = number(rows)));
}

document.addEventListener("htmx:after:swap", () => count());

document.addEventListener("htmx:before:request", (event) => {
  event.detail.ctx.sourceElement.closest("[popover]:popover-open")?.hidePopover();
});

count();
