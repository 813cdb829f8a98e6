// A distilled student that reads what you type: it runs in your browser, and no text leaves your machine.
//
// loadStudent() fetches a student (an int8 ONNX file and its tokenizer) and ONNX Runtime, which runs it in WebAssembly; start() makes
// the controls. Until the reader types, chooses an example or presses "Load", only the small list students.json is downloaded.

import { t } from "./texts.js";

const TOKENS = 128; // as many as the students read in training, <s> and </s> among them
const CHARACTERS = 5000; // far more than 128 tokens have: what comes after them is not looked at
const PAUSE = 120; // milliseconds without a key before an answer
const ENGINE = ["vendor/ort.wasm.min.mjs", "vendor/ort-wasm-simd-threaded.mjs", "vendor/tokenizers.min.mjs"];
const WASM = "vendor/ort-wasm-simd-threaded.wasm";

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const here = (path) => new URL(path, import.meta.url).href;

/** An error whose message is a sentence for the reader. */
export class Trouble extends Error {}

// ---- Files -------------------------------------------------------------------------------------------------------------------------

const missing = (file) =>
  new Trouble(fill(t("The file {file} is missing on the server: copy the folder assets as a whole, or build the book again."), { file }));

/** The bytes of a file beside this script; `arrived` is told how many more have come. */
async function download(path, arrived = () => {}) {
  const chunks = [];
  try {
    const response = await fetch(here(path));
    if (!response.ok) throw missing(path);
    const reader = response.body.getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      chunks.push(chunk.value);
      arrived(chunk.value.length);
    }
  } catch (error) {
    if (error instanceof Trouble) throw error;
    throw new Trouble(fill(t("The file {file} cannot be fetched: is the server still running?"), { file: path }));
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

const json = async (path, arrived) => JSON.parse(new TextDecoder().decode(await download(path, arrived)));

const imported = (path) =>
  import(here(path)).catch(() => {
    throw missing(path);
  });

let engine; // a promise of ONNX Runtime and the tokenizers; both are loaded once

function loadEngine(arrived) {
  engine ??= (async () => {
    try {
      new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)); // the smallest module: does the browser take any?
    } catch {
      throw new Trouble(t("This browser does not run WebAssembly on this page, and the student needs it: allow it, or try another browser."));
    }
    const [wasm, ort, , { Tokenizer }] = await Promise.all([download(WASM, arrived), ...ENGINE.map(imported)]);
    ort.env.wasm.wasmBinary = wasm.buffer;
    ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
    return { ort, Tokenizer };
  })();
  engine.catch(() => (engine = undefined)); // so that the next try starts anew
  return engine;
}

// ---- The student -------------------------------------------------------------------------------------------------------------------

// Characters that came into Unicode after the tables of the tokenizer in Python were made: it takes each of them as it is.
const YOUNG = new RegExp(
  [
    "([",
    String.raw`\u07fd\u0897-\u089f\u08ca-\u08d3\u09fe\u0c3c\u0d3b\u0d3c\u0eba\u1715\u1abf-\u1aeb\u1df6-\u1dfa\u32ff\ua7f1-\ua7f4`,
    String.raw`\ua82c\uab69\u{105d2}\u{105da}\u{10780}-\u{107ba}\u{10d24}-\u{10d27}\u{10d69}-\u{10d6d}\u{10eab}\u{10eac}`,
    String.raw`\u{10efa}-\u{10eff}\u{10f46}-\u{10f50}\u{10f82}-\u{10f85}\u{11070}\u{1133b}\u{11382}-\u{113d0}\u{1145e}\u{11839}`,
    String.raw`\u{1183a}\u{11930}-\u{1193e}\u{11943}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11d42}-\u{11d45}\u{11d97}\u{11f41}`,
    String.raw`\u{11f42}\u{1611e}-\u{1612f}\u{16d63}-\u{16d67}\u{16ff0}\u{16ff1}\u{1ccd6}-\u{1ccf9}\u{1e030}-\u{1e06d}\u{1e08f}`,
    String.raw`\u{1e130}-\u{1e136}\u{1e2ae}\u{1e2ec}-\u{1e2ef}\u{1e4ec}-\u{1e4ef}\u{1e5ee}\u{1e5ef}\u{1e6e3}-\u{1e6f5}\u{1f16c}`,
    String.raw`\u{1fbf0}-\u{1fbf9}`,
    "])",
  ].join(""),
  "u",
);

/** What the tokenizer does to a text before it cuts it: NFKC, runs of white space to one space, none at the ends. */
export const normalise = (text) =>
  text
    .split(YOUNG)
    .map((part, i) => (i % 2 ? part : part.normalize("NFKC")))
    .join("")
    .replace(/\p{White_Space}+/gu, " ")
    .replace(/^ | $/g, "");

/** The tokenizer of a tokenizer.json, with `normalise` in the place of the library's own steps: these differ on new characters and U+FEFF. */
export function makeTokenizer(rules, Tokenizer) {
  const tokenizer = new Tokenizer(rules, {});
  tokenizer.normalizer = normalise;
  return tokenizer;
}

export class Student {
  constructor(ort, session, tokenizer, labels) {
    Object.assign(this, { ort, session, tokenizer, labels, before: undefined });
    this.unknown = tokenizer.model.unk_token_id;
  }

  /** The tokens of a text, at most 128: their ids, their pieces, and whether some were left out. */
  tokens(text) {
    const start = text.slice(0, CHARACTERS);
    const { ids, tokens } = this.tokenizer.encode(start.toWellFormed?.() ?? start); // half of a character becomes U+FFFD
    const cut = ids.length > TOKENS || text.length > CHARACTERS;
    const kept = (all) => (all.length > TOKENS ? [...all.slice(0, TOKENS - 1), all.at(-1)] : all);
    return { ids: kept(ids), pieces: kept(tokens), cut };
  }

  /** One number for each class: the larger, the likelier. */
  async logits(ids) {
    const tensor = (values) => new this.ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const inputs = { input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) };
    return [...(await this.session.run(inputs)).logits.data];
  }

  /** All that the page shows of a text. One text at a time: a session does not run twice at once. */
  read(text) {
    const answer = async () => {
      const start = performance.now();
      const tokens = this.tokens(text);
      const logits = await this.logits(tokens.ids);
      return { ...tokens, logits, probabilities: softmax(logits), milliseconds: performance.now() - start };
    };
    this.before = (this.before ?? Promise.resolve()).then(answer, answer);
    return this.before;
  }
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((z) => Math.exp(z - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** The student of a language; `arrived` is told how many bytes have come. */
export async function loadStudent(language, arrived = () => {}, model = "model.int8.onnx") {
  const folder = `students/${language}`;
  const [{ ort, Tokenizer }, bytes, rules, config] = await Promise.all([
    loadEngine(arrived),
    download(`${folder}/${model}`, arrived),
    json(`${folder}/tokenizer.json`, arrived),
    json(`${folder}/config.json`, arrived),
  ]);
  const session = await ort.InferenceSession.create(bytes).catch((error) => {
    throw new Trouble(fill(t("The student does not start in this browser ({reason}): try another one."), { reason: error.message }));
  });
  const student = new Student(ort, session, makeTokenizer(rules, Tokenizer), Object.values(config.id2label));
  await student.read("a"); // the first text of a session takes longer than any other: let it be this one
  return student;
}

// ---- The page ----------------------------------------------------------------------------------------------------------------------

const LANGUAGES = { zh: "中文", en: "English", fr: "Français" };
const LABELS = { negative: t("negative"), positive: t("positive") };
const PHENOMENA = {
  plain: t("plain"), negation: t("negation"), contrast: t("contrast"), irony: t("irony"), intensifier: t("intensifier"),
  comparison: t("comparison"), code_mixing: t("two languages"), emoji: t("emoji"), understatement: t("understatement"),
  idiom: t("idiom"), domain_term: t("technical term"), long: t("long"),
}; // prettier-ignore
const named = (label) => LABELS[label] ?? label;
const number = (value, digits = 0) =>
  value.toLocaleString(document.documentElement.lang || "en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (share) => (share > 0.99 ? `${number(Math.min(99.9, 100 * share), 1)}\u00a0%` : `${number(100 * share)}\u00a0%`);
const megabytes = (bytes) => number(bytes / 1e6, 1);
const largest = (values) => values.indexOf(Math.max(...values));

/** An element with properties, attributes (where the element has no such property) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Who says what of a text: name, class and probability, and a bar whose parts are the classes. */
function verdict(who, probabilities, labels) {
  const best = largest(probabilities);
  const said = labels.map((label, i) => `${named(label)}, ${percent(probabilities[i])}`);
  const parts = probabilities.map((share, i) => make("span", { className: `kds-class-${i}`, style: `flex-basis: ${100 * share}%` }));
  const bar = make("div", { className: "kds-bar", role: "img", "aria-label": `${who}: ${said.join("; ")}` }, ...parts);
  return make("div", { className: "kds-verdict" }, make("span", {}, who), make("strong", {}, said[best]), bar);
}

/** Which colour is which class. */
const legend = (labels) =>
  make("p", { className: "kds-legend" }, ...labels.map((label, i) => make("span", {}, make("span", { className: `kds-class-${i}` }), named(label))));

/** What the author of an example meant, and who sees it. */
function judgement(label, student, teacher) {
  const [studentRight, teacherRight] = [student === label, teacher === label];
  const both = studentRight ? t("Its author calls this text {label}: both are right.") : t("Its author calls this text {label}: both are wrong.");
  const one = studentRight
    ? t("Its author calls this text {label}: the student is right, the teacher wrong.")
    : t("Its author calls this text {label}: the student is wrong, the teacher right.");
  return make("p", {}, fill(studentRight === teacherRight ? both : one, { label: named(label) }));
}

/** The pieces of a text, and which of them the student does not know. */
function pieces(answer, student, lang) {
  const unknown = (i) => answer.ids[i] === student.unknown;
  const counts = { tokens: answer.ids.length, unknown: answer.ids.filter((_, i) => unknown(i)).length, time: number(answer.milliseconds, 1) };
  const heading = counts.unknown
    ? t("{tokens} tokens, {unknown} of them unknown to this student. Read in {time} ms.")
    : t("{tokens} tokens, all known to this student. Read in {time} ms.");
  const chips = answer.pieces.map((piece, i) => {
    if (!unknown(i)) return make("li", {}, piece);
    const shown = [...piece];
    return make("li", { className: "kds-unknown" }, shown.slice(0, 20).join("") + (shown.length > 20 ? "…" : ""), make("small", {}, t("unknown")));
  });
  const cut = fill(t("Only the first {tokens} tokens are read; the rest of the text is left out."), { tokens: TOKENS });
  return [make("p", {}, fill(heading, counts), answer.cut ? ` ${cut}` : ""), make("ol", { lang, "aria-label": t("Tokens") }, ...chips)];
}

/** A table of what each student weighs, knows and learned from. */
function facts(list) {
  const share = ({ accuracy, accuracy_interval: [low, high] }) => `${number(100 * accuracy, 1)} (${number(100 * low, 1)}–${number(100 * high, 1)})`;
  const head = [t("Student"), t("Download, MB"), t("Parameters, millions"), t("Test accuracy, % (95 % interval)"), t("Its teacher's")];
  head.push(t("Learned from"));
  const rows = Object.entries(list.languages).map(([code, { bytes, student, teacher, learned_from: from }]) => {
    const terms = from.personal_use ? t("for personal use only") : from.licence;
    const values = { labelled: number(from.labelled), unlabelled: number(from.unlabelled), source: from.source.replace("==", " "), terms };
    const texts = fill(t("{labelled} labelled and {unlabelled} unlabelled texts of {source}; {terms}"), values);
    return [LANGUAGES[code] ?? code, megabytes(bytes), number(student.parameters / 1e6, 1), share(student), share(teacher), texts];
  });
  const row = (cells, tag) => make("tr", {}, ...cells.map((cell, i) => make(i ? tag : "th", { scope: tag === "th" ? "col" : i ? "" : "row" }, cell)));
  const body = make("tbody", {}, ...rows.map((cells) => row(cells, "td")));
  const table = make("table", { className: "table" }, make("thead", {}, row(head, "th")), body);
  const engine = fill(t("The engine, once for all languages: {size} MB."), { size: megabytes(list.engine.bytes) });
  const same = Object.entries(list.languages).map(([code, { int8 }]) => `${LANGUAGES[code] ?? code} ${number(100 * int8.agreement, 1)}\u00a0%`);
  const bits = fill(t("In 8 bits a student gives the same class as in 32 on most of the kit's diagnostic texts: {shares}."), { shares: same.join(", ") });
  const frame = { className: "pst-scrollable-table-container", tabIndex: 0, role: "region", "aria-label": t("The students") };
  return [make("div", frame, table), make("p", {}, `${engine} ${bits}`)];
}

/** The controls, in `container`. */
export async function start(container) {
  const list = await json("students/students.json").catch(() => null);
  const offered = Object.keys(list?.languages ?? {});
  if (!offered.length) {
    const absent = t("This copy of the site has no students: run make report, then make book.");
    container.replaceChildren(make("p", { className: "kds-trouble", role: "alert" }, absent));
    return;
  }
  document.getElementById("kds-facts")?.replaceChildren(...facts(list));
  const students = {}; // language: promise of a student
  const ready = new Set(); // the languages whose student has come
  let example; // the one that stands in the box, if any
  let turn = 0; // of the last text that was asked about: no older answer is shown after it
  let timer;

  const radios = offered.map((code) => make("input", { type: "radio", name: "kds-language", value: code }));
  const segments = radios.map((radio) => make("label", {}, radio, make("span", { lang: radio.value }, LANGUAGES[radio.value] ?? radio.value)));
  const choice = make("fieldset", {}, make("legend", {}, t("The student's language")), ...segments);
  const examples = make("div", { className: "kds-examples", role: "group", "aria-labelledby": "kds-examples" });
  const box = make("textarea", { id: "kds-text", rows: 3, spellcheck: false, autocomplete: "off" });
  const button = make("button", { type: "button", className: "kds-load" });
  const progress = make("progress", { hidden: true, "aria-label": t("Download") });
  const state = make("p", { className: "kds-state", role: "status" });
  const trouble = make("p", { className: "kds-trouble", role: "alert", hidden: true });
  const output = make("output", { htmlFor: "kds-text" });
  const tokens = make("div", { className: "kds-tokens" });
  container.replaceChildren(
    choice,
    make("p", { id: "kds-examples" }, t("Examples")),
    examples,
    make("label", { htmlFor: "kds-text" }, t("Your review, or an example")),
    box,
    make("div", { className: "kds-loading" }, button, progress, state),
    trouble,
    output,
    tokens,
  );
  const language = () => radios.find((radio) => radio.checked).value;

  /** Set the controls for a language. */
  function choose(code) {
    radios.find((radio) => radio.value === code).checked = true;
    box.lang = code;
    examples.replaceChildren(
      ...list.languages[code].examples.map((one) => {
        const opener = make("button", { type: "button", title: one.text, "aria-pressed": "false" }, PHENOMENA[one.phenomenon]);
        opener.addEventListener("click", () => {
          box.value = one.text;
          press(one, opener);
          read();
        });
        return opener;
      }),
    );
    press();
    offer();
  }

  function press(one, opener) {
    example = one;
    for (const other of examples.children) other.setAttribute("aria-pressed", other === opener);
  }

  const cost = (code) => list.languages[code].bytes + (engine ? 0 : list.engine.bytes);

  /** The button that loads, with what it costs; hidden where there is nothing to load. */
  function offer() {
    const code = language();
    button.hidden = code in students;
    button.textContent = fill(t("Load the student ({size} MB)"), { size: megabytes(cost(code)) });
    progress.hidden = true;
    const hint = t("Nothing is downloaded until you press this, type, or choose an example.");
    state.textContent = ready.has(code) ? t("The student is ready.") : button.hidden ? t("Starting …") : hint;
  }

  function load(code) {
    if (!(code in students)) {
      const total = cost(code);
      let done = 0;
      const arrived = (bytes) => {
        done += bytes;
        if (language() !== code || students[code] !== mine) return; // the reader has gone on to another student, or a file was missing
        const values = { done: megabytes(done), total: megabytes(total) };
        Object.assign(progress, { max: total, value: done, hidden: false });
        state.textContent = done < total ? fill(t("Loading: {done} of {total} MB"), values) : t("Starting …");
      };
      const mine = (students[code] = loadStudent(code, arrived));
      mine.then(() => ready.add(code), () => delete students[code]).then(() => language() === code && offer()); // prettier-ignore
      offer();
    }
    return students[code];
  }

  /** Answer what stands in the box. */
  async function read() {
    const [mine, text, code, chosen] = [++turn, box.value, language(), example];
    clearTimeout(timer);
    trouble.hidden = true;
    try {
      const student = await load(code);
      const answer = text.trim() ? await student.read(text) : null;
      if (mine === turn) show(answer, student, chosen);
    } catch (error) {
      if (mine === turn) tell(error);
    }
  }

  function tell(error) {
    show(null);
    trouble.textContent = error instanceof Trouble ? error.message : fill(t("Something went wrong: {reason}"), { reason: error.message });
    trouble.hidden = false;
  }

  function show(answer, student, chosen) {
    if (!answer) {
      const hint = t("The answer appears here: write something, or choose an example.");
      output.replaceChildren(make("p", { className: "kds-state" }, hint));
      tokens.replaceChildren();
      return;
    }
    const { labels } = student;
    const rows = [verdict(t("Student, here"), answer.probabilities, labels)];
    if (chosen) {
      rows.push(verdict(t("Teacher, recorded"), softmax(chosen.teacher_logits), labels), legend(labels));
      rows.push(judgement(chosen.label, labels[largest(answer.logits)], labels[largest(chosen.teacher_logits)]));
    } else {
      rows.push(legend(labels), make("p", {}, t("The teacher is too large for a page: its answers to the examples were recorded.")));
    }
    output.replaceChildren(...rows);
    tokens.replaceChildren(...pieces(answer, student, box.lang));
  }

  button.addEventListener("click", () => {
    box.focus();
    read();
  });
  box.addEventListener("input", () => {
    press();
    clearTimeout(timer);
    timer = setTimeout(read, PAUSE);
  });
  choice.addEventListener("change", () => {
    choose(language());
    trouble.hidden = true;
    turn += 1; // what another student is still reading is not asked for any more
    show(null);
    if (box.value.trim() && Object.keys(students).length) read(); // there is a text, and the reader has loaded a student before
  });
  const page = document.documentElement.lang.slice(0, 2);
  choose(offered.includes(page) ? page : offered.includes("en") ? "en" : offered[0]);
  show(null);
}
