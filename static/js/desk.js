// The support desk: the chosen ticket is in sight. The keys of the queue are those of every list (js/keys.js).
const chosen = () => document.querySelector("[data-queue] a[aria-current]");

let shown = null;

function follow() {
  const ticket = document.querySelector("[data-ticket]")?.dataset.ticket ?? null;
  if (ticket !== shown) chosen()?.scrollIntoView({ block: "nearest" });
  shown = ticket;
}

document.addEventListener("htmx:after:swap", follow);
follow();
