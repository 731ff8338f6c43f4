// Sentiment: a label, and the words that decided it.

import { actions, bar, decimal, element, field, note, percent, textArea } from "./dom.js";
import { callOne } from "./api.js";
import { curlLine, python, pythonLines } from "./snippets.js";
import { tinted } from "./tokens.js";

const MOST = 6;

export const sentiment = {
  title: "A text in, a label out",
  limits: [
    "It chooses among the labels of its training data, whatever the text is about.",
    "It reads words that it never saw in training as one unknown word.",
  ],

  form(model) {
    const text = textArea({ name: "text", placeholder: model.example });
    return [field("Text", text), actions("Classify")];
  },

  read: (data) => ({ text: data.get("text").normalize("NFC") }),

  requests(model, { text }) {
    const found = [
      {
        signature: "serving_default",
        curl: curlLine(model, "serving_default", { text }),
        python: pythonLines(model, `(result,) = model.classify([${python(text)}])`, "print(result.label, result.score)"),
      },
    ];
    if ("explain" in model.signatures) {
      found.push({
        signature: "explain",
        curl: curlLine(model, "explain", { text }),
        python: pythonLines(
          model,
          `(result,) = model.explain([${python(text)}])`,
          "for token, contribution in zip(result.tokens, result.contributions):",
          '    print(f"{contribution:+.2f} {token}")',
        ),
      });
    }
    return found;
  },

  async answer(model, { text }, show, signal) {
    const found = await callOne(model, "serving_default", { text }, signal);
    const labels = labelList(found);
    show(labels);
    if (!("explain" in model.signatures)) {
      show(labels, note("This export lacks the signature explain; export the model again to see which words decided."));
      return;
    }
    show(labels, note("Looking for the words that decided…", "waiting"));
    const explained = await callOne(model, "explain", { text }, signal);
    show(labels, ...explanation(text, explained, found));
  },
};

function labelList(found) {
  const pairs = found.labels.map((label, number) => [label, found.probabilities[number]]);
  pairs.sort((one, other) => other[1] - one[1]);
  const rows = pairs.slice(0, MOST).map(([label, share]) =>
    element(
      "li",
      {},
      element("bdi", { className: "name" }, label),
      bar(share),
      element("span", { className: "number" }, percent(share)),
    ),
  );
  return element(
    "div",
    {},
    element("p", { className: "result", dir: "auto" }, found.label),
    element("ul", { className: "shares" }, ...rows),
    pairs.length > MOST ? note(`And ${pairs.length - MOST} labels that are less probable.`) : null,
  );
}

function explanation(text, explained, found) {
  const tokens = explained.tokens.filter((token) => token);
  const contributions = explained.contributions.slice(0, tokens.length);
  if (!tokens.length) return [note("There is no word to read, so the label is a guess.", "warning")];
  if (found.known_tokens === 0 || contributions.every((contribution) => contribution === 0)) {
    return [note("The model knows none of these words, so the label is a guess.", "warning")];
  }
  const { shown, cut } = tinted(text, tokens, contributions);
  return [
    element("h2", {}, "The words that decided"),
    shown,
    element(
      "p",
      { className: "legend" },
      element("span", { className: "key for" }, "for"),
      " and ",
      element("span", { className: "key against" }, "against"),
      ` “${explained.label}”; unmarked words changed nothing.`,
    ),
    cut || found.truncated
      ? note(`The text is longer than the model reads: it ignores what is grey, after the first ${tokens.length} words.`, "warning")
      : null,
    strongest(tokens, contributions),
  ];
}

// Returns a table of the words with the largest contributions, each word once.
function strongest(tokens, contributions) {
  const sums = new Map();
  tokens.forEach((token, position) => sums.set(token, (sums.get(token) ?? 0) + contributions[position]));
  const sorted = [...sums].filter(([, sum]) => sum !== 0).sort((one, other) => Math.abs(other[1]) - Math.abs(one[1])).slice(0, MOST);
  const largest = Math.max(Math.abs(sorted[0][1]), 1e-9);
  const rows = sorted.map(([token, sum]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("bdi", {}, token.trim() || "␣")),
      element("td", {}, bar(Math.abs(sum) / largest, sum < 0 ? "against" : "for")),
      element("td", { className: "number" }, decimal(sum, "+")),
    ),
  );
  return element(
    "details",
    { open: true },
    element("summary", {}, "How much each word adds to the log odds"),
    element("table", { className: "words" }, element("tbody", {}, ...rows)),
  );
}
