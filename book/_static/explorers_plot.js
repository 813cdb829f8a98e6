// Pictures as SVG: axes, lines, bars, dots. Colours are classes (explorers.css), so that they follow the theme.
import { html } from "./explorers_controls.js";

const TEXT = 12, LEFT = 44, RIGHT = 12, TOP = 26;
export const DASHES = { solid: null, dashed: "7 4", dotted: "2 4", dashdot: "9 3 2 3" };
let clips = 0;

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) if (value != null) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// How wide a text is, about: Chinese characters are as wide as they are high.
const width = (text) => [...text].reduce((sum, character) => sum + TEXT * (character > "\u2e80" ? 1 : 0.56), 0);

// Round numbers from 0 on that reach `largest`.
export function ticksTo(largest, count = 4) {
  const raw = largest / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) * power;
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

const scale = ({ from, to, log }, low, high) => {
  const f = log ? Math.log : (value) => value;
  return (value) => low + ((f(value) - f(from)) / (f(to) - f(from))) * (high - low);
};

// One picture, as wide as its panel. An axis is {from, to, ticks, label, log, format} or, with bars, {names, label}.
// marks(x, y, band) gives the SVG elements; x and y turn values into places, band is the width of one name.
export function chart(panel, { title, label, x, y, marks, legend = [], height: least = 250 }) {
  const total = Math.max(panel.clientWidth, 220);
  const left = y.names ? 16 + Math.max(...y.names.map(width)) : LEFT;
  const place = (total - left - RIGHT) / (x.names?.length ?? 1);
  const slanted = x.names && Math.max(...x.names.map(width)) > place - 6;
  const bottom = least - (x.label ? 42 : 24), height = least + (slanted ? 0.6 * Math.max(...x.names.map(width)) : 0);
  const named = (names) => ({ from: -0.5, to: names.length - 0.5, ticks: names.map((_, i) => i), format: (i) => names[i] });
  const [xs, ys] = [x, y].map((axis) => (axis.names ? { ...axis, ...named(axis.names) } : axis));
  const sx = scale(xs, left, total - RIGHT), sy = y.names ? scale(ys, TOP, bottom) : scale(ys, bottom, TOP);
  const clip = `kd-clip-${++clips}`;

  const frame = [
    svg("clipPath", { id: clip }, svg("rect", { x: left - 5, y: TOP - 5, width: total - left - RIGHT + 10, height: bottom - TOP + 10 })),
    ...(y.names ? [] : ys.ticks.map((tick) => svg("line", { class: "kd-grid", x1: left, x2: total - RIGHT, y1: sy(tick), y2: sy(tick) }))),
    ...(x.names ? [] : xs.ticks.map((tick) => svg("line", { class: "kd-grid", x1: sx(tick), x2: sx(tick), y1: TOP, y2: bottom }))),
    ...ys.ticks.map((tick) => svg("text", { x: left - 7, y: sy(tick) + 4, "text-anchor": "end" }, ys.format?.(tick) ?? String(tick).replace("-", "−"))),
    ...xs.ticks.map((tick) => {
      const where = slanted
        ? { x: 0, y: 0, "text-anchor": "end", transform: `translate(${sx(tick) + 4} ${bottom + 14}) rotate(-38)` }
        : { x: sx(tick), y: bottom + 17, "text-anchor": "middle" };
      return svg("text", where, xs.format?.(tick) ?? String(tick).replace("-", "−"));
    }),
    svg("text", { class: "kd-axis", x: total - RIGHT, y: height - 4, "text-anchor": "end" }, x.label ?? ""),
    svg("text", { class: "kd-axis", x: 2, y: 13 }, y.label ?? ""),
    svg("line", { class: "kd-base", x1: left, x2: total - RIGHT, y1: bottom, y2: bottom }),
  ];
  const drawn = svg("g", { "clip-path": `url(#${clip})` }, ...marks(sx, sy, place));
  const picture = svg("svg", { role: "img", "aria-label": label, width: total, height, viewBox: `0 0 ${total} ${height}` }, ...frame, drawn);
  const entries = legend.map(({ text, ...look }) => html("li", {}, sample(look), text));
  panel.replaceChildren(html("p", { class: "kd-panel-title" }, title), picture, ...(entries.length ? [html("ul", { class: "kd-legend" }, ...entries)] : []));
}

// How something looks in the legend.
function sample({ colour, dash, bar, marker, thick }) {
  const look = bar
    ? svg("rect", { x: 6, y: 1, width: 14, height: 10, class: `kd-bar ${colour}` })
    : svg("line", { x1: 0, x2: 26, y1: 6, y2: 6, class: `kd-line ${colour}${thick ? " kd-thick" : ""}`, "stroke-dasharray": DASHES[dash ?? "solid"] });
  return svg("svg", { width: 26, height: 12, "aria-hidden": "true" }, look, ...(marker ? [point(13, 6, colour, marker)] : []));
}

// A line through points; it is broken where a value is not a number.
export function line(points, colour, dash = "solid", thick = false) {
  let pen = "M";
  const d = points.map(([x, y]) => {
    if (!Number.isFinite(x) || !Number.isFinite(y)) { pen = "M"; return ""; }
    const step = `${pen}${x.toFixed(2)} ${y.toFixed(2)}`;
    pen = "L";
    return step;
  });
  return svg("path", { d: d.join(""), class: `kd-line ${colour}${thick ? " kd-thick" : ""}`, "stroke-dasharray": DASHES[dash] });
}

export const area = (points, base, colour) =>
  svg("path", { d: `M${points.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L")}L${points.at(-1)[0]} ${base}L${points[0][0]} ${base}Z`, class: `kd-area ${colour}` });

export const bar = (x, y, width, height, colour) =>
  svg("rect", { x, y, width, height: Math.max(height, 0), class: `kd-bar ${colour}` });

export const text = (x, y, content, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor, class: "kd-number" }, content);

// A dot with an edge: o, D (diamond), s (square), ^ (triangle), v (triangle upside down), as matplotlib calls them.
export function point(x, y, colour, marker = "o", size = 5) {
  const corners = { D: [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]], s: [[-1, -1], [1, -1], [1, 1], [-1, 1]], "^": [[0, -1.2], [1.2, 1], [-1.2, 1]], v: [[0, 1.2], [1.2, -1], [-1.2, -1]] }[marker];
  if (!corners) return svg("circle", { cx: x, cy: y, r: size, class: `kd-dot ${colour}` });
  return svg("polygon", { points: corners.map(([dx, dy]) => `${x + dx * size},${y + dy * size}`).join(" "), class: `kd-dot ${colour}` });
}
