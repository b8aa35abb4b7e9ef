// The words that scripts say, in the reader's language; templates/shell/_words.html writes them.
export const words = document.getElementById("words")?.dataset ?? {};

export const language = document.documentElement.lang || "en";

export const number = (value) => new Intl.NumberFormat(language).format(value);

// A fragment of the document's own sprite, so that a script can draw an icon without knowing its address.
export function icon(name) {
  const known = document.querySelector("svg.icon use");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${known?.getAttribute("href")?.split("#")[0] ?? ""}#icon-${name}`);
  svg.append(use);
  return svg;
}

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
