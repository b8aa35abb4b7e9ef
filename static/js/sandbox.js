// The sandbox's chat page: live, without reloads. Every form and link of it also works without this script.
const panes = document.querySelector("[data-sandbox]");
const scroll = document.getElementById("scroll");
const SAID_MS = 4500;
const HELD_MS = 3000;
const SWAPPED = ["contacts", "log", "listening", "faults", "head", "compose"];
const given = new Map(); // what the server last sent for a region, to leave alone what has not changed

// --- refreshing: the page itself is fetched again and its regions taken over

let running = false;
let again = false;

async function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    const page = await fetched(location.href);
    await lifted;
    if (page) take(page);
  } finally {
    running = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

// What is under a pressed finger stays until it is lifted: replaced in between, a button would never hear of its click.
let lifted = Promise.resolve();

function press() {
  lifted = new Promise((resolve) => {
    const over = new AbortController();
    const lift = () => {
      over.abort();
      setTimeout(resolve); // the click comes first
    };
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, lift, { signal: over.signal });
    setTimeout(resolve, HELD_MS); // lifted outside of the window
  });
}

async function fetched(url) {
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null; // the stream reconnects and asks again
  }
}

function take(page) {
  for (const id of SWAPPED) swap(id, page.getElementById(id));
  merge(page.getElementById("chat"));
  if (low) toEnd();
}

// A region is replaced when the server's version changed and nobody is in the middle of using it.
function swap(id, fresh) {
  const place = document.getElementById(id);
  if (!place || !fresh) return;
  const html = fresh.innerHTML;
  if (given.get(id) === html) return;
  const used = place.querySelector(":popover-open") || (id !== "compose" && place.querySelector("input:focus, select:focus"));
  if (used) return;
  const said = place.querySelector("textarea")?.value;
  const focused = place.contains(document.activeElement) ? describe(document.activeElement) : "";
  const open = [...place.querySelectorAll("details[open]")].length;
  if (open && id === "log") return;
  given.set(id, html);
  const top = place.scrollTop;
  place.replaceChildren(...fresh.childNodes);
  place.scrollTop = top;
  const field = place.querySelector("textarea");
  if (field && said) field.value = said;
  if (focused) place.querySelector(focused)?.focus({ preventScroll: true });
}

function describe(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const href = element.getAttribute("href");
  return href ? `[href="${CSS.escape(href)}"]` : `${element.localName}[type="submit"]`;
}

// Bubbles stay where they are, so that a video plays on and a focused button keeps the focus.
function merge(fresh) {
  const chat = document.getElementById("chat");
  if (!chat || !fresh) return;
  const known = new Map([...chat.children].map((child) => [child.id, child]));
  const wanted = [...fresh.children].map((child) => {
    const old = known.get(child.id);
    if (!old || old.dataset.rev !== child.dataset.rev) return keepFocus(old, child);
    return old;
  });
  const stays = new Set(wanted);
  for (const child of [...chat.children]) if (!stays.has(child)) child.remove();
  wanted.forEach((child, index) => {
    if (chat.children[index] !== child) chat.insertBefore(child, chat.children[index] ?? null);
  });
}

function keepFocus(old, fresh) {
  if (old?.contains(document.activeElement)) {
    queueMicrotask(() => fresh.querySelector("button, a")?.focus({ preventScroll: true }));
  }
  return fresh;
}

// Whoever reads the chat's end stays there while it grows: by a message, or by a photo or video that gets its size
// long after its message. Only the reader's own way up lets go.
let low = true;
let top = 0;

function follow() {
  const down = scroll.scrollTop >= top;
  top = scroll.scrollTop;
  low = (low && down) || scroll.scrollHeight - top - scroll.clientHeight < 120;
}

function toEnd() {
  low = true;
  if (scroll) scroll.scrollTop = scroll.scrollHeight;
}

// --- acting

async function act(form, button) {
  if (button?.getAttribute("aria-busy") === "true") return;
  button?.setAttribute("aria-busy", "true");
  const body = new FormData(form, button);
  if (form.dataset.close) document.getElementById(form.dataset.close)?.close();
  form.closest("[popover]:popover-open")?.hidePopover();
  const field = form.matches("[data-compose]") ? form.querySelector("textarea") : null;
  if (field) field.value = "";
  try {
    const headers = { "X-Requested-With": "fetch" };
    const answer = await fetch(form.action, { method: "POST", body, headers });
    if (!answer.ok) throw new Error(String(answer.status));
    told(await answer.json());
  } catch {
    if (field) field.value = body.get("text");
    say(panes.dataset.failed, "bad");
  } finally {
    button?.removeAttribute("aria-busy");
  }
  toEnd();
  await refresh();
}

function told(done) {
  if (done.moved) {
    location.assign(done.go);
    return;
  }
  if (!done.text) return;
  if (done.alert) {
    const dialog = document.getElementById("alert");
    dialog.querySelector("#alert-text").textContent = done.text;
    dialog.showModal();
    return;
  }
  say(done.text, done.kind);
}

// As in Telegram, the answer to a button appears over the chat for a moment.
let timer = 0;

function say(text, kind) {
  const place = document.getElementById("said");
  place.textContent = text;
  place.className = `ly-sand-said is-${kind}`;
  clearTimeout(timer);
  timer = setTimeout(() => (place.textContent = ""), SAID_MS);
}

// The Pay sheet: the same page with ?pay=, from which only the dialog is taken.
async function offer(link) {
  const page = await fetched(link.href);
  const fresh = page?.getElementById("pay");
  const dialog = document.getElementById("pay");
  if (!fresh) {
    location.assign(link.href);
    return;
  }
  dialog.replaceChildren(...fresh.childNodes);
  dialog.showModal();
}

// --- binding

function bind() {
  document.addEventListener("pointerdown", press);
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-act]")) return;
    event.preventDefault();
    act(event.target, event.submitter);
  });

  document.addEventListener("click", (event) => {
    const pay = event.target.closest("[data-pay]");
    const cancel = event.target.closest("dialog [data-dialog-close]");
    if (!(pay || cancel) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (pay) offer(pay);
    else cancel.closest("dialog").close();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("[data-compose] textarea");
    if (!typing || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    typing.form.requestSubmit();
  });

  const dialog = document.getElementById("pay");
  if (dialog?.open) {
    dialog.close();
    dialog.showModal();
  }
  for (const id of SWAPPED) given.set(id, document.getElementById(id)?.innerHTML);
  toEnd();
  scroll?.addEventListener("scroll", follow, { passive: true });
  if (scroll) new ResizeObserver(() => low && toEnd()).observe(document.getElementById("chat"));
  const { sandbox: bot, seen } = panes.dataset;
  new EventSource(`/sandbox/events?${new URLSearchParams({ bot, seen })}`).addEventListener("change", () => refresh());
}

if (panes) bind();
