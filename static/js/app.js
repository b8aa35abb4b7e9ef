// Behaviour for every page; each module binds itself by data attributes. What only some pages need loads when they have it.
import "./toasts.js";
import "./htmx.js";
import "./forms.js";
import "./shell.js";
import "./lists.js";
import "./choosing.js";
import "./palette.js";
import { listen } from "./keys.js";

// Where cells can be edited, their script hears the keys first.
if (document.getElementById("list")) {
  import("./places.js");
  import("./cells.js").finally(listen);
} else {
  listen();
}
if (document.querySelector("[data-order]")) import("./order.js");
if (document.querySelector("[data-chart]")) import("./chart.js");
if (document.querySelector("[data-tools]")) import("./editor.js");
if (document.querySelector("[data-desk]")) import("./desk.js");

function offerPasskeys() {
  if (document.querySelector("[data-passkey]")) import("./passkeys.js").then((module) => module.offer());
}

offerPasskeys();
document.addEventListener("htmx:after:swap", offerPasskeys);
