// The controls of an explorer: native ones, each with its label, worked by keyboard as by mouse.
import { t } from "./texts.js";

let count = 0;

// An element with attributes and children, which are elements or text.
export function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
  element.append(...children);
  return element;
}

// A number as a reader sees it, with a minus sign and no hyphen; what is rounded to zero has no sign.
export function shown(number, decimals) {
  if (!Number.isFinite(number)) return "–";
  const text = Math.abs(number).toFixed(decimals);
  return number < 0 && Number(text) !== 0 ? `−${text}` : text;
}

// Fill the controls into `parent`, call `changed` after each move; the result says what they say, by name.
export function controls(parent, descriptions, changed) {
  const all = descriptions.map((description) => ({ name: description.name, ...KINDS[description.kind](description, changed) }));
  parent.append(...all.map(({ element }) => element));
  return {
    values: () => Object.fromEntries(all.map(({ name, value }) => [name, value()])),
    reset: () => { all.forEach(({ reset }) => reset()); changed(); },
  };
}

// What a slider can say, from left to right. The value that it begins with takes the place of the one next to it:
// the notebook's T = 2 is no step of its logarithmic slider.
export function steps({ min, max, step, base, value }) {
  const count = Math.round((max - min) / step);
  const places = Array.from({ length: count + 1 }, (_, i) => Number((min + i * step).toFixed(10)));
  const start = base ? Math.log(value) / Math.log(base) : value;
  const nearest = places.reduce((best, place, i) => (Math.abs(place - start) < Math.abs(places[best] - start) ? i : best), 0);
  return { values: places.map((place, i) => (i === nearest ? value : base ? base ** place : place)), start: nearest };
}

const KINDS = {
  slider(description, changed) {
    const { values, start } = steps(description), id = `kd-control-${++count}`;
    const readout = html("span", { class: "kd-value", "aria-hidden": "true" }); // for the eye; aria-valuetext says it
    const input = html("input", { type: "range", id, min: 0, max: values.length - 1, step: 1, value: start });
    const tell = () => input.setAttribute("aria-valuetext", (readout.textContent = shown(values[input.value], description.decimals)));
    input.addEventListener("input", () => { tell(); changed(); });
    tell();
    return {
      element: html("div", { class: "kd-control" }, html("label", { for: id }, t(description.label)), readout, input),
      value: () => values[input.value],
      reset: () => { input.value = start; tell(); },
    };
  },

  list(description, changed) {
    const id = `kd-control-${++count}`, start = description.options.findIndex(([, value]) => value === description.value);
    const select = html("select", { id }, ...description.options.map(([label], i) => html("option", { value: i }, t(label))));
    select.value = start;
    select.addEventListener("change", changed);
    return {
      element: html("div", { class: "kd-control" }, html("label", { for: id }, t(description.label)), select),
      value: () => description.options[select.value][1],
      reset: () => { select.value = start; },
    };
  },

  buttons(description, changed) {
    const name = `kd-control-${++count}`;
    const inputs = description.options.map(([, value]) => html("input", { type: "radio", name, checked: value === description.value }));
    const choices = inputs.map((input, i) => html("label", {}, input, html("span", {}, t(description.options[i][0]))));
    inputs.forEach((input) => input.addEventListener("change", changed));
    return {
      element: html("fieldset", { class: "kd-control kd-buttons" }, html("legend", {}, t(description.label)), ...choices),
      value: () => description.options[inputs.findIndex((input) => input.checked)][1],
      reset: () => inputs.forEach((input) => { input.checked = input.defaultChecked; }),
    };
  },

  checkbox(description, changed) {
    const input = html("input", { type: "checkbox", checked: description.value });
    input.addEventListener("change", changed);
    return {
      element: html("div", { class: "kd-control kd-tick" }, html("label", {}, input, html("span", {}, t(description.label)))),
      value: () => input.checked,
      reset: () => { input.checked = description.value; },
    };
  },

  text(description, changed) {
    const id = `kd-control-${++count}`;
    const input = html("input", { type: "text", id, value: description.value, maxlength: 300, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("input", changed);
    return {
      element: html("div", { class: "kd-control kd-wide" }, html("label", { for: id }, t(description.label)), input),
      value: () => input.value,
      reset: () => { input.value = description.value; },
    };
  },
};
