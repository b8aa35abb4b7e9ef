// What htmx leaves to the page: failures that bring no words of their own, and where the focus goes.
import { retryWith, show } from "./toasts.js";
import { words } from "./words.js";

// Nobody asked for what refreshes itself, so nobody is told when it fails.
const unasked = (ctx) => ["every", "load"].includes(ctx?.sourceEvent?.type);
// A search field sends nothing for a text that it has sent already, but it listens to `again`.
const again = (ctx) => () => {
  const source = ctx.sourceElement;
  if (source?.isConnected) window.htmx.trigger(source, source.matches("input") ? "again" : (ctx.sourceEvent?.type ?? "click"));
};

document.addEventListener("htmx:response:error", (event) => {
  const { ctx } = event.detail;
  const { status, headers } = ctx.response;
  if (unasked(ctx)) {
    ctx.text = "";
    return;
  }
  // The server's own toast comes with the answer; a refused form comes back by itself.
  if (ctx.text?.includes("<hx-partial")) {
    if (status >= 500 || status === 429) retryWith(again(ctx));
    return;
  }
  if (status < 500 && ctx.text?.trim()) return;
  const id = headers.get("X-Request-ID");
  show(words.failed, { detail: id ? `${words.request} ${id}` : "", action: { label: words.retry, run: again(ctx) } });
});

document.addEventListener("htmx:error", (event) => {
  const { ctx } = event.detail;
  if (!ctx || ctx.response || unasked(ctx)) return;
  show(words.offline, { action: { label: words.retry, run: again(ctx) } });
});

// A swap that removes the focused element drops the reader at the top of the page: keep them where they were.
let before = null;

document.addEventListener("htmx:before:swap", () => {
  const active = document.activeElement;
  before = active && active !== document.body ? { element: active, id: active.id, row: active.closest("[id]")?.id } : null;
});

document.addEventListener("htmx:after:swap", (event) => {
  if (!before || before.element.isConnected || document.activeElement !== document.body) return;
  const row = before.row && document.getElementById(before.row);
  const place =
    (before.id && document.getElementById(before.id)) ||
    row?.querySelector("a[href], button:not([disabled]), input, [tabindex]") ||
    event.detail.ctx.target;
  if (!place?.isConnected) return;
  if (!place.matches("a[href], button, input, select, textarea, [tabindex]")) place.setAttribute("tabindex", "-1");
  place.focus({ preventScroll: true });
});
