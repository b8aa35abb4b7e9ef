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
  const close = element("button", { type: "button", class: "btn btn-ghost btn-icon btn-sm", "aria-label": words.close });
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

if (region) {
  const armAll = () => region.querySelectorAll("[data-toast]").forEach(arm);
  new MutationObserver(armAll).observe(region, { childList: true });
  armAll();
}
