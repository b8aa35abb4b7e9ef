// A list that grew as it was scrolled: whoever comes back to it finds the same rows, at the same place.
const MOST = 500; // rows that are fetched again; further down the list begins as it does
const key = () => `place ${location.pathname}${location.search}`;
const body = () => document.getElementById("list-rows");
let there = null; // what is still to be reached

addEventListener("pagehide", () => {
  const rows = [...(body()?.rows ?? [])];
  const seen = rows.find((row) => row.getBoundingClientRect().top >= 0);
  if (!seen || !scrollY) return sessionStorage.removeItem(key());
  const place = { rows: rows.length, id: seen.id, top: seen.getBoundingClientRect().top };
  sessionStorage.setItem(key(), JSON.stringify(place));
});

function go() {
  const row = document.getElementById(there.id);
  if (row) {
    scrollBy(0, row.getBoundingClientRect().top - there.top);
    there = null;
    return;
  }
  const more = document.getElementById("list-more");
  if (!more?.hasAttribute("hx-get") || body().rows.length >= there.rows) there = null;
  else more.scrollIntoView(); // which makes it load the next ones
}

document.addEventListener("htmx:after:swap", () => there && body() && go());
["wheel", "touchmove", "keydown", "pointerdown"].forEach((kind) => addEventListener(kind, () => (there = null), { passive: true }));

const [how] = performance.getEntriesByType("navigation");
const kept = how && ["back_forward", "reload"].includes(how.type) && sessionStorage.getItem(key());
if (kept && body()) {
  there = JSON.parse(kept);
  if (there.rows > MOST) there = null;
  else requestAnimationFrame(() => there && go());
}
