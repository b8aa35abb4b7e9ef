// Ordered lists by dragging: <ol class="ly-sort" data-order="URL"><li data-id="5"><button class="ly-grip">. The up and down buttons of
// each row do the same without a mouse and without script. A drop POSTs `id` and `position` (from 1); the answer replaces the list.
const lists = "[data-order]";

function rows(list) {
  return [...list.querySelectorAll(":scope > [data-id]")];
}

function place(list, row, y) {
  const others = rows(list).filter((other) => other !== row);
  const next = others.find((other) => {
    const box = other.getBoundingClientRect();
    return y < box.top + box.height / 2;
  });
  if (next) {
    if (row.nextElementSibling !== next) next.before(row);
  } else if (others.at(-1) && row.previousElementSibling !== others.at(-1)) {
    others.at(-1).after(row);
  }
}

function drop(list, row, from) {
  const position = rows(list).indexOf(row) + 1;
  if (position === from) return;
  window.htmx.ajax("POST", list.dataset.order, {
    source: row.querySelector(".ly-grip"), // the list would send every field inside it
    target: list,
    swap: "outerMorph",
    values: { id: row.dataset.id, position },
  });
}

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest(".ly-grip");
  const list = grip?.closest(lists);
  const row = grip?.closest("[data-id]");
  if (!list || !row || event.button !== 0) return;
  event.preventDefault();
  const from = rows(list).indexOf(row) + 1;
  row.classList.add("is-lifted");
  list.setPointerCapture(event.pointerId); // not the grip: moving it in the document would lose the capture
  const move = (moved) => place(list, row, moved.clientY);
  const finish = (ended) => {
    list.removeEventListener("pointermove", move);
    row.classList.remove("is-lifted");
    if (ended.type === "pointerup") drop(list, row, from);
  };
  list.addEventListener("pointermove", move);
  list.addEventListener("pointerup", finish, { once: true });
  list.addEventListener("pointercancel", finish, { once: true });
});
