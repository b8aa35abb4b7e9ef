// Passkeys. A form with data-passkey="get" or "create" asks the browser its data-options and sends the answer.
// Such forms are hidden until `offer` shows them: without scripts or passkeys the other ways in remain.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));

function text(buffer) {
  const made = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return made.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function offer() {
  if (!window.PublicKeyCredential) return;
  document.querySelectorAll("[data-passkey-place]").forEach((place) => (place.hidden = false));
}

function question(form) {
  const asked = JSON.parse(form.dataset.options);
  asked.challenge = bytes(asked.challenge);
  if (asked.user) asked.user.id = bytes(asked.user.id);
  for (const known of asked.allowCredentials ?? asked.excludeCredentials ?? []) known.id = bytes(known.id);
  return { publicKey: asked };
}

function answer({ id, rawId, type, response, authenticatorAttachment }) {
  const said = { clientDataJSON: text(response.clientDataJSON) };
  for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[part]) said[part] = text(response[part]);
  }
  return JSON.stringify({ id, rawId: text(rawId), type, response: said, authenticatorAttachment });
}

function say(form, words) {
  const place = form.querySelector("[data-said]");
  place.textContent = words;
  place.hidden = !words;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-passkey]") || form.elements.answer.value) return;
  event.preventDefault();
  say(form, "");
  try {
    const made = await navigator.credentials[form.dataset.passkey](question(form));
    form.elements.answer.value = answer(made);
    form.submit();
  } catch (error) {
    say(form, error.name === "InvalidStateError" ? form.dataset.known : form.dataset.failed);
  }
});

// A page that comes back by the Back button still holds the answer, which works once.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("[data-passkey]").forEach((form) => (form.elements.answer.value = ""));
});
