// The support desk: the arrow keys walk through the queue, and the chosen ticket is in sight.
const links = () => [...document.querySelectorAll("[data-queue] li > a")];
const chosen = () => document.querySelector("[data-queue] a[aria-current]");

document.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = event.target;
  if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (at !== document.body && !at.closest?.("[data-queue]")) return;
  const all = links();
  const from = all.indexOf(at.closest?.("a") ?? chosen());
  const next = all[from < 0 ? 0 : Math.min(Math.max(from + step, 0), all.length - 1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

let shown = null;

function follow() {
  const ticket = document.querySelector("[data-ticket]")?.dataset.ticket ?? null;
  if (ticket !== shown) chosen()?.scrollIntoView({ block: "nearest" });
  shown = ticket;
}

document.addEventListener("htmx:after:swap", follow);
follow();
