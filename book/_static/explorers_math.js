// The numbers of the explorers, in 64-bit floating point: pure functions of what the controls say.
// Each is the notebook's own formula; tests/book/test_explorers.py compares them with Python.

const sum = (values) => values.reduce((total, value) => total + value, 0);

// np.linspace: count numbers from one end to the other.
export const spaced = (from, to, count) =>
  Array.from({ length: count }, (_, i) => (i === count - 1 ? to : from + ((to - from) / (count - 1)) * i));

export function softmax(logits, temperature = 1) {
  const scaled = logits.map((logit) => logit / temperature);
  const largest = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - largest)); // none above 1: nothing overflows
  const total = sum(powers);
  return powers.map((power) => power / total);
}

export const entropy = (shares) => -sum(shares.map((p) => (p > 0 ? p * Math.log(p) : 0)));

export const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// ---- notebook 02, draw_temperature -------------------------------------------------------------------------------

export const TEMPERATURES = spaced(Math.log(0.1), Math.log(20), 80).map(Math.exp); // of the curve

export function temperature(logits, T, k) {
  const p = softmax(logits, T);
  const order = p.map((_, i) => i).sort((a, b) => p[b] - p[a] || a - b);
  const top = order.slice(0, k);
  const H = entropy(p);
  const curve = TEMPERATURES.map((t) => entropy(softmax(logits, t)));
  return { p, top, held: sum(top.map((i) => p[i])), entropy: H, classes: Math.exp(H), curve };
}

// ---- notebook 03, mix and draw_mix -------------------------------------------------------------------------------

// (1 − α) · hard + α · T² · KL; without T² the soft term has the weight α / T² of the kit's.
export function lossMix({ alpha, temperature: T, label, keep_t2 }, { teacher, student }) {
  const weight = keep_t2 ? alpha : alpha / T ** 2;
  const target = teacher.map((_, i) => (i === label ? 1 : 0));
  const best = optimum(weight / (1 - alpha + weight), T, target, teacher);
  const says = softmax(student), softened = softmax(student, T), soft = softmax(teacher, T);
  const hardPull = Math.hypot(...says.map((q, i) => (1 - alpha) * (q - target[i])));
  const softPull = Math.hypot(...softened.map((q, i) => weight * T * (q - soft[i])));
  return { target, teacher: softmax(teacher), best, pulls: [hardPull, softPull] };
}

// What a student says that minimises the loss on this text: Newton's method with limited steps, from the teacher on.
export function optimum(alpha, T, target, teacher) {
  const soft = softmax(teacher, T);
  let logits = [...teacher];
  for (let i = 0; i < 60; i++) {
    const q1 = softmax(logits), q = softmax(logits, T);
    const slope = q.map((share, k) => (1 - alpha) * (q1[k] - target[k]) + alpha * T * (share - soft[k]));
    const curvature = q.map((_, j) => q.map((_, k) => // 0.2: a mere shift must cost something
      (1 - alpha) * spread(q1, j, k) + alpha * spread(q, j, k) + 0.2));
    const step = solve(curvature, slope);
    const shorter = Math.min(1, 2 / (Math.hypot(...step) + 1e-12)); // no step longer than 2
    logits = logits.map((logit, k) => logit - step[k] * shorter);
  }
  return softmax(logits);
}

const spread = (q, j, k) => (j === k ? q[j] : 0) - q[j] * q[k]; // an entry of diag(q) − q qᵀ

// The x with matrix · x = right, by elimination with the largest pivot.
function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]), n = rows.length;
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let j = i + 1; j < n; j++) if (Math.abs(rows[j][i]) > Math.abs(rows[pivot][i])) pivot = j;
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let j = i + 1; j < n; j++) {
      const factor = rows[j][i] / rows[i][i];
      for (let k = i; k <= n; k++) rows[j][k] -= factor * rows[i][k];
    }
  }
  const x = Array(n).fill(0);
  for (let i = n - 1; i >= 0; i--) x[i] = (rows[i][n] - sum(x.map((value, k) => (k > i ? rows[i][k] * value : 0)))) / rows[i][i];
  return x;
}

// ---- notebook 03, draw_directions --------------------------------------------------------------------------------

export const bell = (line, mean, width) => softmax(line.map((x) => -((x - mean) ** 2) / (2 * width ** 2)));

// All bells that are tried, with the logarithms of their shares: computed once.
export function candidates({ line, means, widths }) {
  return means.flatMap((mean) => widths.map((width) => {
    const q = bell(line, mean, width);
    return { mean, width, q, log: q.map(Math.log) };
  }));
}

export function directions({ distance, left_share: left, width }, line, bells) {
  const peaks = [bell(line, -distance / 2, width), bell(line, distance / 2, width)];
  const p = peaks[0].map((share, i) => left * share + (1 - left) * peaks[1][i]);
  const log = p.map(Math.log);
  const best = { forward: { value: Infinity }, jensen_shannon: { value: Infinity }, reverse: { value: Infinity } };
  for (const one of bells) {
    let forward = 0, reverse = 0, toMiddle = 0;
    for (let i = 0; i < p.length; i++) {
      const q = one.q[i], gap = log[i] - one.log[i], middle = Math.log((p[i] + q) / 2);
      forward += p[i] * gap;
      reverse -= q * gap;
      toMiddle += (p[i] * (log[i] - middle) + q * (one.log[i] - middle)) / 2;
    }
    for (const [name, value] of Object.entries({ forward, jensen_shannon: toMiddle, reverse })) {
      if (value < best[name].value) best[name] = { value, mean: one.mean, width: one.width, q: one.q };
    }
  }
  return { teacher: p, ...best };
}

// ---- notebook 04, draw -------------------------------------------------------------------------------------------

// log(e^0 + e^z) − target · z, with the larger power taken out.
export const bce = (z, target) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - target * z;

export function bceGradient({ z, y, q, alpha }) {
  const m = (1 - alpha) * y + alpha * q;
  return { says: sigmoid(z), m, loss: bce(z, m), slope: sigmoid(z) - m };
}

// ---- notebook 05, draw_pieces ------------------------------------------------------------------------------------

export const characters = (text) => [...text];
export const bytes = (text) => [...new TextEncoder().encode(text)];

// ---- notebook 07, threshold_figure -------------------------------------------------------------------------------

export const THRESHOLDS = spaced(0.5, 0.99, 50); // of the curves

// logOdds: logit of positive minus logit of negative, one a text; labels: 1 is positive.
export function threshold(logOdds, labels, T, t) {
  const p = logOdds.map((value) => sigmoid(value / T));
  const confidence = p.map((share) => Math.max(share, 1 - share));
  const right = p.map((share, i) => (share > 0.5 ? 1 : 0) === labels[i]);
  return {
    ece: calibrationError(confidence, right),
    reliability: reliability(confidence, right),
    now: atThreshold(p, labels, t),
    curves: THRESHOLDS.map((one) => atThreshold(p, labels, one)),
  };
}

// Expected calibration error: bin b of 15 holds the texts with (b − 1)/15 < confidence ≤ b/15.
function calibrationError(confidence, right, bins = 15) {
  const found = grouped(confidence, right, (value) => Math.ceil(value * bins));
  return sum(found.map((bin) => (bin.n / confidence.length) * Math.abs(bin.accuracy - bin.confidence)));
}

// The filled bins of ten, from the least confident on.
function reliability(confidence, right, bins = 10) {
  return grouped(confidence, right, (value) => {
    let place = 0;
    while (place < bins - 1 && value > (place + 1) * (1 / bins)) place++;
    return place;
  });
}

function grouped(confidence, right, place) {
  const found = [];
  confidence.forEach((value, i) => {
    const bin = (found[place(value)] ??= { n: 0, confidence: 0, accuracy: 0 });
    bin.n += 1;
    bin.confidence += value;
    bin.accuracy += right[i] ? 1 : 0;
  });
  return found.filter(Boolean).map(({ n, confidence, accuracy }) => ({ n, confidence: confidence / n, accuracy: accuracy / n }));
}

// Coverage, precision and recall of positive, accuracy of what is decided; NaN where there is nothing to divide by.
function atThreshold(p, labels, t) {
  let decided = 0, right = 0, yes = 0, hits = 0, positive = 0;
  p.forEach((share, i) => {
    positive += labels[i];
    yes += share >= t ? 1 : 0;
    if (share < t && share > 1 - t) return;
    decided += 1;
    if ((share > 0.5 ? 1 : 0) !== labels[i]) return;
    right += 1;
    hits += share >= t ? 1 : 0;
  });
  return { coverage: decided / p.length, precision: hits / yes, recall: hits / positive, accuracy: right / decided };
}
