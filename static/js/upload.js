// Sends a form with files and shows how far it got: fetch, and so htmx, cannot say that. Without script it is a plain POST.
import { show } from "./toasts.js";
import { number, words } from "./words.js";

const percent = (share) => number(Math.round(share * 100));

function progressOf(form) {
  const bars = [...form.querySelectorAll("[data-upload-bar]")].filter((bar) => {
    const field = bar.parentElement.querySelector("input[type=file]");
    return field?.files.length;
  });
  return (share) => {
    for (const bar of bars) {
      bar.hidden = share === null;
      if (share === null) continue;
      bar.querySelector("progress").value = share * 100;
      bar.querySelector("[role=status]").textContent = share < 1 ? `${words.uploading} ${percent(share)} %` : words.processing;
    }
  };
}

// Resolves to true when the person stays on this form (it was refused or the connection broke).
export function send(form, submitter) {
  const invalid = form.querySelector("input[type=file]:invalid");
  if (invalid) {
    invalid.reportValidity();
    return Promise.resolve(true);
  }
  const body = new FormData(form, submitter);
  const token = body.get("csrf_token");
  const tell = progressOf(form);
  const buttons = form.querySelectorAll("button[type=submit]");
  buttons.forEach((button) => (button.disabled = true));
  const request = new XMLHttpRequest();
  const done = new Promise((resolve) => {
    request.upload.addEventListener("progress", (event) => event.lengthComputable && tell(event.loaded / event.total));
    request.addEventListener("load", () => resolve(answered(form, request)));
    request.addEventListener("error", () => {
      show(words.offline, { action: { label: words.retry, run: () => form.requestSubmit(submitter) } });
      resolve(true);
    });
  });
  request.open("POST", form.action);
  request.setRequestHeader("X-CSRF-Token", token);
  request.setRequestHeader("HX-Request", "true");
  request.setRequestHeader("HX-Request-Type", "partial");
  request.setRequestHeader("HX-Current-URL", location.href);
  request.setRequestHeader("Accept", "text/html");
  tell(0);
  request.send(body);
  return done.finally(() => {
    tell(null);
    buttons.forEach((button) => (button.disabled = false));
  });
}

function answered(form, request) {
  const target = request.getResponseHeader("HX-Redirect");
  if (target) {
    location.assign(target);
    return false;
  }
  const text = request.responseText;
  if (request.status >= 500 && !text.includes("<hx-partial")) {
    const id = request.getResponseHeader("X-Request-ID");
    show(words.failed, { detail: id ? `${words.request} ${id}` : "" });
    return true;
  }
  // An error for the toasts alone names another place; the form stays as it is.
  const swap = request.getResponseHeader("HX-Reswap") || request.status >= 500 ? "none" : "outerMorph";
  window.htmx.swap({ sourceElement: form, target: form, swap, text });
  return true;
}
