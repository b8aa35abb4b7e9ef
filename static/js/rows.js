// The rows of a list or of the queue of tickets as the keyboard walks them.
const rows = "#list-rows > tr a[href]:not(.ly-item, .ly-rowmenu), [data-queue] li > a";

// One link a row: the first.
function links() {
  const seen = new Set();
  return [...document.querySelectorAll(rows)].filter((link) => {
    const row = link.closest("tr, li");
    return !seen.has(row) && seen.add(row);
  });
}

function stand(link) {
  link?.focus();
  link?.scrollIntoView({ block: "nearest" });
  return Boolean(link);
}

export const first = () => stand(links()[0]);

export function walk(step) {
  const all = links();
  const row = document.activeElement.closest?.("tr, li");
  const from = all.findIndex((link) => (row ? row.contains(link) : link.ariaCurrent));
  return stand(all[from < 0 ? 0 : Math.min(Math.max(from + step, 0), all.length - 1)]);
}
