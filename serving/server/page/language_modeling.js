// Language modelling: a text that appears as the model writes it, one call of `step` for each token: a character, or a
// word or subword with the space before it.

import { actions, element, field, note, textArea } from "./dom.js";
import { bytes, callOne } from "./api.js";
import { curlLine, python, pythonLines } from "./snippets.js";

export const languageModeling = {
  title: "The beginning of a text in, its continuation out",
  limits: [
    "It writes in the manner of its training data, piece by piece; what it says is invented.",
    "It reads characters, or words, that it never saw in training as one unknown one.",
  ],

  form(model) {
    const numbers = (name, value, min, max, step) => element("input", { type: "number", name, value, min, max, step, required: true });
    const temperature = element("input", { type: "range", name: "temperature", min: 0, max: 1.5, step: 0.05, value: 0.7 });
    const shown = element("output", {}, "0.70");
    temperature.addEventListener("input", () => (shown.textContent = Number(temperature.value).toFixed(2)));
    const warmth = field("Temperature", temperature, "0: always the most probable token");
    warmth.firstChild.after(" ", shown);
    return [
      field("Beginning", textArea({ name: "prompt", rows: 3, required: false, placeholder: model.example || "empty: a new text" })),
      element(
        "div",
        { className: "options" },
        warmth,
        field("Top-k", numbers("top_k", 0, 0, 2147483647, 1), "tokens to draw from; 0: all"),
        field("Stop at", element("input", { type: "text", name: "stop", dir: "auto" }), "the text ends after it"),
        field("Length", numbers("max_length", 400, 1, 10000, 1), "tokens at most"),
        field("Seed", numbers("seed", 1, 0, Number.MAX_SAFE_INTEGER, 1), "another number, another text"),
      ),
      actions("Write"),
    ];
  },

  read(data) {
    const numbers = ["temperature", "top_k", "max_length", "seed"].map((name) => [name, Number(data.get(name))]);
    const texts = ["prompt", "stop"].map((name) => [name, data.get(name).normalize("NFC").replaceAll("\r\n", "\n")]);
    return Object.fromEntries([...numbers, ...texts]);
  },

  requests(model, { prompt, stop, max_length, temperature, top_k, seed }) {
    const options = `max_length=${max_length}, temperature=${temperature}, top_k=${top_k}, seed=${seed}`;
    const all = stop ? `${options}, stop=${python(stop)}` : options;
    const sampling = { temperature, top_k, top_p: 1, seed };
    const signature = stop ? "generate_until" : "generate";
    return [
      {
        signature,
        curl: curlLine(model, signature, { prompt, max_length, ...sampling, ...(stop ? { stop } : {}) }),
        python: pythonLines(model, `(result,) = model.generate([${python(prompt)}], ${all})`, "print(result.text)"),
      },
      {
        signature: "start",
        curl: curlLine(model, "start", { prompt, ...sampling }),
        python: pythonLines(
          model,
          `for character in model.stream(${python(prompt)}, ${all}):`,
          '    print(character, end="", flush=True)',
        ),
      },
    ];
  },

  async answer(model, { prompt, stop, max_length, temperature, top_k, seed }, show, signal) {
    const sampling = { temperature, top_k, top_p: 1, seed };
    const written = element("span", { className: "written" });
    const state = element("p", { className: "note" }, "Writing…");
    show(element("p", { className: "stream", dir: "auto" }, element("span", { className: "prompt" }, prompt), written), state);
    const decoder = new TextDecoder();
    let text = "";
    const end = (why) => {
      written.append(decoder.decode());
      state.textContent = `${why} ${[...text].length} characters.`;
    };
    try {
      let outputs = await callOne(model, "start", { prompt, ...sampling }, signal);
      for (;;) {
        const { character, position } = outputs;
        if (character === "") return end("The model ended the text.");
        // The bytes of a character do not fit.
        if (position > max_length) return end("The text reached its length.");
        const piece = decoder.decode(bytes(character), { stream: true });
        // The stop string may end within the piece.
        const found = stop ? (text + piece).indexOf(stop, Math.max(0, text.length - stop.length + 1)) : -1;
        const kept = found < 0 ? piece : piece.slice(0, found + stop.length - text.length);
        written.append(kept);
        text += kept;
        if (found >= 0) return end("The text reached the stop string.");
        if (position >= max_length) return end("The text reached its length.");
        const states = Object.entries(outputs).filter(([name]) => name.startsWith("state_"));
        const inputs = { character, position, ...sampling, ...Object.fromEntries(states) };
        outputs = await callOne(model, "step", inputs, signal);
      }
    } catch (error) {
      if (error.name === "AbortError") return end("Stopped.");
      end("Interrupted.");
      throw error;
    }
  },
};
