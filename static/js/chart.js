// The server draws the chart; here a day can be read from it: under the mouse, under a finger, or with the arrow keys.
import { element, language, number } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

function bind(figure) {
  const { values, previous, labels, unit, names } = JSON.parse(figure.dataset.chart);
  const svg = figure.querySelector("svg");
  const day = document.createElementNS(SVG, "line");
  const said = element("div", { class: "ly-tip", role: "status", hidden: "" });
  day.setAttribute("class", "ly-day");
  day.setAttribute("y1", "0");
  day.setAttribute("y2", "200");
  let at = values.length - 1;

  const line = (name, value, cls) => element("span", { class: cls }, `${name}: `, element("b", {}, `${number(value)} ${unit}`));
  const tell = (index) => {
    at = Math.max(0, Math.min(values.length - 1, index));
    const x = values.length > 1 ? (at / (values.length - 1)) * 600 : 300;
    day.setAttribute("x1", x);
    day.setAttribute("x2", x);
    svg.append(day);
    const lines = [element("small", {}, labels[at]), line(names[0], values[at], "is-now")];
    if (previous[at] !== undefined) lines.push(line(names[1], previous[at], "is-before"));
    said.replaceChildren(...lines);
    said.hidden = false;
    const box = svg.getBoundingClientRect();
    const around = figure.getBoundingClientRect();
    const left = box.left - around.left + (x / 600) * box.width;
    const side = left + said.offsetWidth + 14 > around.width ? left - said.offsetWidth - 10 : left + 10;
    said.style.setProperty("inset-inline-start", `${Math.max(0, side)}px`);
  };
  const hide = () => {
    said.hidden = true;
    day.remove();
  };

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    tell(Math.round(((event.clientX - box.left) / box.width) * (values.length - 1)));
  });
  svg.addEventListener("pointerleave", hide);
  figure.addEventListener("focus", () => figure.matches(":focus-visible") && tell(at));
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -values.length, End: values.length }[event.key];
    if (step) {
      event.preventDefault();
      tell(at + step);
    }
  });
  figure.append(said);
  figure.lang = language;
}

document.querySelectorAll("[data-chart]").forEach(bind);
