// Toasts: the server writes them into #toasts; here they get a close button and leave by themselves.
import { element, icon, words } from "./words.js";

const SHORT = 6000;
const LONG = 10000; // with Undo or an error there is something to read and to decide

const region = document.getElementById("toasts");

function dismiss(toast) {
  const next = toast.nextElementSibling ?? toast.previousElementSibling;
  const focused = toast.contains(document.activeElement);
  toast.remove();
  if (focused) (next?.querySelector("button") ?? document.getElementById("main"))?.focus();
}

// What the next error that the server words itself can be mended by.
let retry = null;

export function retryWith(run) {
  retry = run;
}

function offer(toast, { label, run }) {
  const button = element("button", { type: "button", class: "btn btn-sm" }, label);
  button.addEventListener("click", () => {
    dismiss(toast);
    run();
  });
  toast.append(button);
}

function arm(toast) {
  if ("armed" in toast.dataset) return;
  toast.dataset.armed = "";
  if (retry && toast.classList.contains("is-bad")) {
    offer(toast, { label: words.retry, run: retry });
    retry = null;
  }
  const close = element("button", { type: "button", class: "btn btn-ghost btn-icon btn-sm", "aria-label": words.close, "data-dismiss": "" });
  close.append(icon("x"));
  close.addEventListener("click", () => dismiss(toast));
  toast.append(close);

  let left = "undo" in toast.dataset || toast.classList.contains("is-bad") ? LONG : SHORT;
  let started = 0;
  let timer = 0;
  const run = () => {
    clearTimeout(timer);
    started = performance.now();
    timer = setTimeout(() => dismiss(toast), left);
  };
  const pause = () => {
    clearTimeout(timer);
    left = Math.max(1500, left - (performance.now() - started));
  };
  toast.addEventListener("pointerenter", pause);
  toast.addEventListener("pointerleave", () => toast.matches(":focus-within") || run());
  toast.addEventListener("focusin", pause);
  toast.addEventListener("focusout", () => toast.matches(":hover") || run());
  run();
}

export function show(text, { kind = "bad", sign = "alert-circle", detail = "", action = null } = {}) {
  if (!region) return;
  const said = element("p", {}, text);
  if (detail) said.append(element("small", {}, detail));
  const toast = element("div", { class: `ly-toast is-${kind}`, "data-toast": "" }, icon(sign), said);
  if (action) offer(toast, action);
  region.append(toast);
}

// The button of the newest change that can still be taken back, or done again.
export function pressLast(kind) {
  const button = [...region.querySelectorAll(`[data-undo="${kind}"]:not([data-pressed]) form button`)].at(-1);
  button?.click();
  return Boolean(button);
}

// In a list only the rows that an undo has changed come back: the others stay loaded, and the other toasts stay too.
document.addEventListener("submit", (event) => {
  const toast = event.target.closest("[data-undo]");
  if (!toast) return;
  const leaving = region.querySelector("[data-pressed=leaving]");
  const inList = document.getElementById("list")?.dataset.list;
  if (inList || leaving) event.preventDefault();
  if (leaving) return;
  toast.dataset.pressed = inList ? "" : "leaving";
  if (!inList) return;
  const values = Object.fromEntries(new FormData(event.target));
  window.htmx.ajax("POST", event.target.action, { source: event.target, values, swap: "none" });
});

document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  const toast = ctx.sourceElement?.closest?.("[data-pressed]");
  if (!toast) return;
  const status = ctx.response?.status ?? 500;
  if (ctx.hx?.redirect) toast.dataset.pressed = "leaving";
  else if (status < 400) dismiss(toast);
  else if (status >= 500) delete toast.dataset.pressed; // once more, perhaps
});

// Where the page has to be drawn anew, the other toasts and the place in it outlive that.
const KEPT = "toasts";
const address = () => location.pathname + location.search;

function keep() {
  if (!region.querySelector("[data-pressed=leaving]")) return;
  const toasts = [...region.querySelectorAll("[data-undo]:not([data-pressed])")].map((toast) => {
    const copy = toast.cloneNode(true);
    copy.querySelector("[data-dismiss]")?.remove();
    delete copy.dataset.armed;
    return copy.outerHTML;
  });
  sessionStorage.setItem(KEPT, JSON.stringify({ toasts, address: address(), top: scrollY, until: Date.now() + LONG }));
}

function comeBack() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT));
  sessionStorage.removeItem(KEPT);
  if (!kept || kept.until < Date.now()) return;
  region.insertAdjacentHTML("afterbegin", kept.toasts.join(""));
  if (kept.address === address()) scrollTo(0, kept.top);
}

if (region) {
  const armAll = () => region.querySelectorAll("[data-toast]").forEach(arm);
  new MutationObserver(armAll).observe(region, { childList: true });
  window.addEventListener("pagehide", keep);
  comeBack();
  armAll();
}
