// The explorers that compute in the page: for each container that book/explorers.py wrote (what it holds comes from the
// notebook's own cell), the controls, the picture that the notebook draws, and its numbers in a sentence.
import { t } from "./texts.js";
import { controls, html, shown } from "./explorers_controls.js";
import { area, bar, chart, line, point, svg, text, ticksTo } from "./explorers_plot.js";
import { TEMPERATURES, THRESHOLDS, bce, bceGradient, bytes, candidates, characters, directions, lossMix, sigmoid, spaced, temperature, threshold } from "./explorers_math.js";

// The text with {name} replaced by values.name.
const say = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const pairs = (names, values, decimals) => names.map((name, i) => `${name} ${shown(values[i], decimals)}`).join(", ");
const percent = (share) => `${shown(100 * share, 0)}\u00a0%`;
const PROBABILITY = { from: 0, to: 1.05, ticks: [0, 0.25, 0.5, 0.75, 1] };
const LOGITS = { from: -6, to: 6, ticks: [-6, -4, -2, 0, 2, 4, 6] };

// Each is given what the container holds and the panels that it asks for in `widths` (shares of a row); it gives back a function
// that draws for the controls' values and says the result in a sentence. `load` may fetch what it needs.
const EXPLORERS = {
  temperature: {
    title: () => t("Explore: temperature"),
    widths: [1, 1],
    start: ({ topics }) => (values, [left, right]) => {
      const names = topics.map(t), { temperature: T, k } = values;
      const found = temperature(topics.map((topic) => values[topic]), T, k);
      const top = { k, held: shown(found.held, 3), T: shown(T, 2), H: shown(found.entropy, 2), classes: shown(found.classes, 2) };
      chart(left, {
        title: t("Probability of each class"),
        label: say(t("Bars of the probabilities: {shares}."), { shares: pairs(names, found.p, 3) }),
        x: { names },
        y: { ...PROBABILITY, to: 1.1 },
        marks: (x, y, band) => found.p.flatMap((share, i) => [
          bar(x(i) - 0.38 * band, y(share), 0.76 * band, y(0) - y(share), found.top.includes(i) ? "kd-blue" : "kd-grey"),
          text(x(i), y(share) - 5, shown(share, 3)),
        ]),
        legend: [{ text: t("among the k most likely"), bar: true, colour: "kd-blue" }, { text: t("the others"), bar: true, colour: "kd-grey" }],
      });
      chart(right, {
        title: t("Entropy at every temperature"),
        label: say(t("Curve of the entropy, which grows with the temperature; a diamond marks T = {T}, where it is {H} nats."), top),
        x: { from: 0.1, to: 20, log: true, ticks: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20], label: t("temperature T (log scale)") },
        y: { from: -0.05, to: 1.7, ticks: [0, 0.5, 1, 1.5], label: t("entropy, nats") },
        marks: (x, y) => [
          line(TEMPERATURES.map((one, i) => [x(one), y(found.curve[i])]), "kd-blue"),
          point(x(T), y(found.entropy), "kd-ink", "D"),
        ],
      });
      return say(t("The {k} most likely classes hold {held}. At T = {T} the entropy H is {H} nats: as undecided as {classes} equally likely classes (e^H)."), top);
    },
  },

  "loss-mix": {
    title: () => t("Explore: the mix of label and teacher"),
    widths: [2, 1],
    start: (given) => (values, [left, right]) => {
      const names = given.topics.map(t), label = given.topics.indexOf(values.label);
      const found = lossMix({ ...values, label }, given);
      const largest = found.best.indexOf(Math.max(...found.best));
      const numbers = {
        alpha: shown(values.alpha, 2), T: shown(values.temperature, 1), hard: shown(found.pulls[0], 3), soft: shown(found.pulls[1], 3),
        best: pairs(names, found.best, 2), favourite: names[largest], share: shown(found.best[largest], 2),
      };
      const bars = [[found.target, "kd-grey", t("label")], [found.teacher, "kd-ink", t("teacher")], [found.best, "kd-blue", t("best student")]];
      chart(left, {
        title: say(t("What label, teacher and best student say at α = {alpha}, T = {T}"), numbers),
        label: say(t("Three bars for each class: label, teacher and best student. The best student says: {best}."), numbers),
        x: { names },
        y: { ...PROBABILITY, label: t("probability") },
        marks: (x, y, band) => bars.flatMap(([shares, colour], row) => shares.map((share, i) =>
          bar(x(i) + (row - 1.5) * 0.28 * band, y(share), 0.26 * band, y(0) - y(share), colour))),
        legend: bars.map(([, colour, name]) => ({ text: name, bar: true, colour })),
      });
      const end = Math.max(1.3, ...found.pulls.map((pull) => 1.2 * pull));
      chart(right, {
        title: t("How strongly they pull"),
        label: say(t("Two bars: the hard term pulls with {hard}, the soft term with {soft}."), numbers),
        height: 190,
        x: { from: 0, to: end, ticks: ticksTo(end, 3).filter((tick) => tick <= end), label: t("size of the gradient") },
        y: { names: [t("hard"), t("soft")] },
        marks: (x, y) => found.pulls.flatMap((pull, i) => [
          bar(x(0), y(i) - 22, x(pull) - x(0), 44, ["kd-grey", "kd-blue"][i]),
          text(x(pull) + 5, y(i) + 4, shown(pull, 3), "start"),
        ]),
      });
      return say(t("The best student says {favourite} most, with {share}. At the untrained student the hard term pulls with {hard}, the soft term with {soft}."), numbers);
    },
  },

  "kl-directions": {
    title: () => t("Explore: directions of the divergence"),
    widths: [1],
    start: (given) => {
      const bells = candidates(given);
      return (values, [panel]) => {
        const found = directions(values, given.line, bells);
        const left = { forward: shown(found.forward.value, 2), middle: shown(found.jensen_shannon.value, 2), reverse: shown(found.reverse.value, 2) };
        const looks = [
          ["forward", "kd-blue", "solid", say(t("forward KL, {forward} nats left"), left)],
          ["jensen_shannon", "kd-green", "dashdot", say(t("Jensen–Shannon, {middle} nats left"), left), true], // thick: often the next lies upon it
          ["reverse", "kd-orange", "dashed", say(t("reverse KL, {reverse} nats left"), left)],
        ];
        const ticks = ticksTo(Math.max(...found.teacher, ...looks.flatMap(([name]) => found[name].q)));
        const points = (shares, x, y) => given.line.map((place, i) => [x(place), y(shares[i])]);
        chart(panel, {
          title: t("The teacher, and the best single bell under each divergence"),
          label: say(t("Four curves: the teacher's peaks and the best bell under each divergence. What is left: forward KL {forward}, Jensen–Shannon {middle}, reverse KL {reverse} nats."), left),
          height: 280,
          x: { ...LOGITS, label: t("the 81 classes, on a line") },
          y: { from: 0, to: ticks.at(-1), ticks, label: t("probability") },
          marks: (x, y) => [
            area(points(found.teacher, x, y), y(0), "kd-grey"),
            ...looks.map(([name, colour, dash, , thick]) => line(points(found[name].q, x, y), colour, dash, thick)),
          ],
          legend: [{ text: t("teacher"), bar: true, colour: "kd-grey" }, ...looks.map(([, colour, dash, name, thick]) => ({ text: name, colour, dash, thick }))],
        });
        return say(t("What no bell can remove: forward KL {forward}, Jensen–Shannon {middle}, reverse KL {reverse} nats."), left);
      };
    },
  },

  "bce-gradient": {
    title: () => t("Explore: the gradient of the binary cross-entropy"),
    widths: [1, 1],
    start: () => (values, [left, right]) => {
      const { says, m, loss, slope } = bceGradient(values), { z } = values, grid = spaced(-6, 6, 121);
      const numbers = { says: shown(says, 2), m: shown(m, 2), loss: shown(loss, 2), z: shown(z, 2), slope: (slope > 0 ? "+" : "") + shown(slope, 2) };
      chart(left, {
        title: t("The loss and its tangent"),
        label: say(t("Curve of the loss over the logit z with its tangent at z = {z}, where the loss is {loss}."), numbers),
        x: { ...LOGITS, label: t("logit z") },
        y: { from: -0.5, to: 6.5, ticks: [0, 2, 4, 6], label: t("loss, nats") },
        marks: (x, y) => [
          line(grid.map((one) => [x(one), y(bce(one, m))]), "kd-blue"),
          line([-6, 6].map((one) => [x(one), y(loss + slope * (one - z))]), "kd-ink", "dashed"),
          point(x(z), y(loss), "kd-orange", "o", 6),
        ],
        legend: [{ text: t("loss"), colour: "kd-blue" }, { text: t("tangent"), colour: "kd-ink", dash: "dashed" }],
      });
      chart(right, {
        title: t("The gradient σ(z) − m"),
        label: say(t("Curve of the gradient over the logit z; at z = {z} it is {slope}, the slope of the tangent."), numbers),
        x: { ...LOGITS, label: t("logit z") },
        y: { from: -1.05, to: 1.05, ticks: [-1, -0.5, 0, 0.5, 1], label: t("gradient") },
        marks: (x, y) => [
          svg("line", { class: "kd-base", x1: x(-6), x2: x(6), y1: y(0), y2: y(0) }),
          line(grid.map((one) => [x(one), y(sigmoid(one) - m)]), "kd-blue"),
          line([[x(z), y(0)], [x(z), y(slope)]], "kd-ink", "dashed"),
          point(x(z), y(slope), "kd-orange", "o", 6),
        ],
        legend: [{ text: t("gradient"), colour: "kd-blue" }, { text: t("its height at z"), colour: "kd-ink", dash: "dashed" }],
      });
      return say(t("The student says σ(z) = {says}, the target is m = {m}. The loss is {loss} nats, its gradient σ(z) − m = {slope}."), numbers);
    },
  },

  tokens: {
    title: () => t("Explore: cut your own sentence"),
    note: () => t("The teacher's vocabulary of 250,002 pieces is too large for a page. Here cut the three students, each with the part of it that its own language uses; characters and bytes are for comparison."),
    widths: [1],
    start: () => async (values, [panel], names) => {
      const all = characters(values.text);
      const counted = { characters: all.length, bytes: bytes(values.text).length, cut: names.cut };
      const { pieces, missing } = await cut(values);
      const unknown = pieces.filter((piece) => piece.unknown).length;
      panel.replaceChildren(html("ol", { class: "kd-pieces", "aria-label": t("The pieces") }, ...pieces.map(chip)));
      if (missing) return t("The students' tokenizers are not part of this copy of the site. Characters and bytes can be counted all the same.");
      const found = say(t("{cut}: {pieces} pieces for {characters} characters, which are {bytes} bytes in UTF-8."), { ...counted, pieces: pieces.length });
      return unknown ? `${found} ${say(t("Unknown: {unknown}."), { unknown })}` : found;
    },
  },

  threshold: {
    title: () => t("Explore: which answers to trust"),
    widths: [1, 1],
    load: () => fetched("./data/threshold.json"),
    start: (given, recorded) => (values, [left, right], names) => {
      const outputs = recorded[values.language], [colour, marker] = MODELS[values.model];
      const found = threshold(outputs[values.model], outputs.labels, values.temperature, values.threshold);
      const now = Object.fromEntries(Object.entries(found.now).map(([name, share]) => [name, percent(share)]));
      const numbers = { ...now, ece: shown(found.ece, 3), t: shown(values.threshold, 2), model: names.model, language: names.language };
      chart(left, {
        title: t("Is it as right as it is sure?"),
        label: say(t("Reliability curve of {model}, {language}: accuracy against confidence beside the diagonal; the expected calibration error is {ece}."), numbers),
        x: { from: 0.48, to: 1.02, ticks: [0.5, 0.6, 0.7, 0.8, 0.9, 1], label: t("confidence") },
        y: { from: 0.3, to: 1.02, ticks: [0.4, 0.6, 0.8, 1], label: t("accuracy") },
        marks: (x, y) => [
          line([[x(0.5), y(0.5)], [x(1), y(1)]], "kd-soft", "dotted"),
          line(found.reliability.map((bin) => [x(bin.confidence), y(bin.accuracy)]), colour),
          ...found.reliability.map((bin) => point(x(bin.confidence), y(bin.accuracy), colour, marker)),
        ],
        legend: [{ text: names.model, colour, marker }, { text: t("perfectly calibrated"), colour: "kd-soft", dash: "dotted" }],
      });
      const curves = [
        ["coverage", "kd-ink", "solid", t("coverage {share}")],
        ["precision", "kd-blue", "dashed", t("precision {share}")],
        ["recall", "kd-orange", "dotted", t("recall {share}")],
        ["accuracy", "kd-brown", "dashdot", t("accuracy of the decided {share}")],
      ];
      chart(right, {
        title: t("What a threshold buys and costs"),
        label: say(t("Four curves against the threshold. At t = {t}: coverage {coverage}, precision {precision}, recall {recall}, accuracy of the decided {accuracy}."), numbers),
        x: { from: 0.5, to: 1, ticks: [0.5, 0.6, 0.7, 0.8, 0.9, 1], label: t("threshold t") },
        y: { from: 0, to: 1.02, ticks: [0, 0.25, 0.5, 0.75, 1], label: t("share") },
        marks: (x, y) => [
          svg("line", { class: "kd-now", x1: x(values.threshold), x2: x(values.threshold), y1: y(0), y2: y(1.02) }),
          ...curves.map(([name, hue, dash]) => line(THRESHOLDS.map((one, i) => [x(one), y(found.curves[i][name])]), hue, dash)),
        ],
        legend: curves.map(([name, hue, dash, pattern]) => ({ text: say(pattern, { share: now[name] }), colour: hue, dash })),
      });
      return say(t("{language}, {model}: ECE {ece}. At t = {t}: coverage {coverage}, precision {precision}, recall {recall}, accuracy of the decided {accuracy}."), numbers);
    },
  },
};

const MODELS = { student_distilled: ["kd-blue", "o"], student_labels_only: ["kd-orange", "^"], teacher: ["kd-ink", "D"] };

async function fetched(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// ---- pieces of a text ---------------------------------------------------------------------------------------------

const tokenizers = {}; // each is loaded when it is first chosen

function tokenizer(language) {
  return (tokenizers[language] ??= (async () => {
    const rules = await fetched(`./students/${language}/tokenizer.json`);
    const { Tokenizer } = await import(new URL("./vendor/tokenizers.min.mjs", import.meta.url));
    const { makeTokenizer } = await import(new URL("./student.js", import.meta.url)); // as the student of the page has it
    return makeTokenizer(rules, Tokenizer);
  })());
}

async function cut({ text: sentence, cut: by }) {
  if (by === "characters") return { pieces: characters(sentence).map((piece) => ({ piece, id: `U+${piece.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` })) };
  if (by === "bytes") return { pieces: bytes(sentence).map((byte) => ({ piece: byte.toString(16).toUpperCase().padStart(2, "0"), id: byte })) };
  try {
    const student = await tokenizer(by);
    const { ids, tokens } = student.encode(sentence.toWellFormed?.() ?? sentence, { add_special_tokens: false });
    return { pieces: tokens.map((piece, i) => ({ piece, id: ids[i], unknown: ids[i] === student.model.unk_token_id })) };
  } catch {
    return { pieces: [], missing: true };
  }
}

const chip = ({ piece, id, unknown }) => html("li", { class: unknown ? "kd-unknown" : null },
  html("span", { class: "kd-piece" }, piece.replaceAll(" ", "␣")),
  html("span", { class: "kd-id" }, unknown ? `<unk> ${id}` : String(id)));

// ---- one explorer in its container --------------------------------------------------------------------------------

async function begin(container) {
  const explorer = EXPLORERS[container.dataset.explorer];
  const descriptions = JSON.parse(container.dataset.controls), given = JSON.parse(container.dataset.given);
  let loaded;
  try {
    loaded = await explorer.load?.();
  } catch {
    container.hidden = true; // without its data; the notebook's own figure stays
    return;
  }
  for (const control of descriptions) { // languages that nothing was recorded of
    if (loaded && control.name === "language") control.options = control.options.filter(([, value]) => value in loaded);
  }
  const draw = explorer.start(given, loaded);
  const title = html("p", { class: "kd-title", id: `kd-${container.dataset.explorer}` }, explorer.title());
  const reset = html("button", { type: "button", class: "kd-reset" }, t("Reset"));
  const place = html("div", { class: "kd-controls" });
  const result = html("output", { class: "kd-result", "aria-live": "polite" });
  const panels = explorer.widths.map((share) => html("div", { class: "kd-panel", style: `--kd-share: ${share}` }));
  const picture = html("div", { class: "kd-picture" }, ...panels);
  let turn = 0;

  const show = async () => {
    const mine = ++turn, values = moved.values();
    const sentence = await draw(values, panels, namesOf(values));
    if (mine === turn && result.textContent !== sentence) result.textContent = sentence; // a later move may have overtaken this one
  };
  const namesOf = (values) => Object.fromEntries(descriptions.filter(({ options }) => options)
    .map(({ name, options }) => [name, t(options.find(([, value]) => value === values[name])[0])]));
  const moved = controls(place, descriptions, show);
  reset.addEventListener("click", moved.reset);

  container.setAttribute("role", "group");
  container.setAttribute("aria-labelledby", title.id);
  container.replaceChildren(html("div", { class: "kd-head" }, title, reset), place, result, picture);
  if (explorer.note) container.insertBefore(html("p", { class: "kd-note" }, explorer.note()), place);

  let wide = 0; // a picture is drawn for the width that it has
  new ResizeObserver(() => {
    if (picture.clientWidth === wide) return;
    wide = picture.clientWidth;
    show();
  }).observe(picture);
}

const begun = () => document.querySelectorAll("[data-explorer]").forEach(begin);
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begun);
else begun();
