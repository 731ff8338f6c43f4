// Translation: the n-best list, and the alignment of its best one.

import { actions, decimal, element, field, note, textArea } from "./dom.js";
import { callOne } from "./api.js";
import { curlLine, python, pythonLines } from "./snippets.js";
import { TokenRow } from "./tokens.js";

// A lower score marks a hypothesis that only fills the beam.
export const IMPOSSIBLE = -1e8;

export const translation = {
  title: "A sentence in, its translation out",
  limits: [
    "It translates one sentence at a time, between the two languages of its training data.",
    "It may leave out or invent words, above all for words and subjects that it never saw in training.",
  ],

  form(model) {
    return [field("Sentence", textArea({ name: "text", rows: 3, placeholder: model.example })), actions("Translate")];
  },

  read: (data) => ({ text: data.get("text").normalize("NFC") }),

  requests(model, { text }) {
    return [
      {
        signature: "n_best",
        curl: curlLine(model, "n_best", { text }),
        python: pythonLines(
          model,
          `(result,) = model.translate([${python(text)}], n_best=${beams(model)})`,
          "print(result.text, result.n_best)",
        ),
      },
      {
        signature: "align",
        curl: curlLine(model, "align", { text }),
        python: pythonLines(
          model,
          `(result,) = model.align([${python(text)}])`,
          "print(result.source_tokens, result.target_tokens, result.weights)",
        ),
      },
    ];
  },

  async answer(model, { text }, show, signal) {
    const found = await callOne(model, "n_best", { text }, signal);
    const best = nBest(found, "translation");
    if (!found.texts[0]) {
      show(note("The model has no translation for this text; it may know none of its words.", "warning"), best);
      return;
    }
    show(best);
    const aligned = await callOne(model, "align", { text }, signal);
    show(best, ...alignment(aligned), found.truncated ? note("The text or its translation was cut at the model's limit.", "warning") : null);
  },
};

// Returns the beam width, the largest n-best list.
export function beams(model) {
  return Number(model.signatures.n_best.outputs.scores.match(/(\d+)\]/)?.[1] ?? 1);
}

// Returns the best text, and a list of the others.
export function nBest(found, what) {
  const [best, ...others] = found.texts
    .map((text, number) => [text, found.scores[number]])
    .filter(([, score], number) => number === 0 || score > IMPOSSIBLE);
  const rows = others.map(([text, score]) =>
    element(
      "li",
      {},
      element("span", { dir: "auto" }, text || "(empty)"),
      element("span", { className: "number" }, decimal(score)),
    ),
  );
  return element(
    "div",
    {},
    element(
      "p",
      { className: "result text", dir: "auto" },
      best[0] || "(empty)",
      " ",
      element("span", { className: "number", title: "log probability, normalised by length" }, `score ${decimal(best[1])}`),
    ),
    rows.length
      ? element(
          "details",
          { className: "others", open: true },
          element("summary", {}, `The next best ${rows.length === 1 ? what : `${what}s`}`),
          element("ol", { start: 2 }, ...rows),
        )
      : null,
  );
}

function alignment(aligned) {
  const source = aligned.source_tokens.filter((token) => token);
  const target = aligned.tokens.filter((token) => token);
  const weights = aligned.attention.slice(0, target.length).map((row) => row.slice(0, source.length));
  if (weights.every((row) => row.every((weight) => weight === 0))) {
    return [note("This model has no attention, so there is no alignment to show.")];
  }
  const scaled = (row) => row.map((weight) => weight / Math.max(...row, 1e-9));
  const rows = {};
  rows.target = new TokenRow(target, "Translation: choose a token to see where the model looked", (chosen) => {
    rows.target.mark(chosen);
    rows.source.mark(null);
    rows.target.light(null);
    rows.source.light(chosen === null ? null : scaled(weights[chosen]));
  });
  rows.source = new TokenRow(source, "Source: choose a token to see what looked at it", (chosen) => {
    rows.source.mark(chosen);
    rows.target.mark(null);
    rows.source.light(null);
    rows.target.light(chosen === null ? null : weights.map((row) => row[chosen]));
  });
  return [
    element("h2", {}, "Alignment"),
    note("Point at a word to see where the model looked; with the keyboard, Tab and the arrow keys."),
    element(
      "div",
      { className: "alignment" },
      element("span", { className: "side" }, "source"),
      rows.source.shown,
      element("span", { className: "side" }, "translation"),
      rows.target.shown,
    ),
  ];
}
