// Tokens on the page: in the text that they were split from, and as rows to point at.

import { element, decimal } from "./dom.js";

const TAG = /<\/?[A-Za-z][^<>]{0,200}>/g;
const SPACE = "\u2581";

// Lower-cases a character as models do, but for what depends on its neighbours.
function folded(character) {
  return character.toLowerCase().replace("ς", "σ").replace("\u2019", "'").replace(/\p{Cc}/u, " ");
}

// Returns the start and end of each token in a text, or null where it is not found.
export function locate(text, tokens) {
  const shown = text.replace(TAG, (tag) => " ".repeat(tag.length));
  let lower = "";
  const starts = [];
  for (let index = 0; index < shown.length; ) {
    const character = String.fromCodePoint(shown.codePointAt(index));
    const lowered = folded(character);
    for (let unit = 0; unit < lowered.length; unit++) starts.push(index);
    lower += lowered;
    index += character.length;
  }
  starts.push(shown.length);
  let cursor = 0;
  return tokens.map((token) => {
    const wanted = [...token].map(folded).join("");
    const found = lower.indexOf(wanted, cursor);
    if (found < 0) return null;
    cursor = found + wanted.length;
    // The end is where the next character starts.
    let end = cursor;
    while (end < lower.length && starts[end] === starts[cursor - 1]) end++;
    return [starts[found], starts[end]];
  });
}

// Returns the text with each token tinted by its contribution, and whether its end was not read.
export function tinted(text, tokens, contributions) {
  const largest = Math.max(...contributions.map(Math.abs), 1e-9);
  const shown = element("p", { className: "tinted", dir: "auto" });
  let end = 0;
  locate(text, tokens).forEach((place, position) => {
    if (!place) return;
    const contribution = contributions[position];
    const word = element(
      "span",
      { className: contribution < 0 ? "against" : "for", title: decimal(contribution, "+") },
      text.slice(...place),
    );
    word.style.setProperty("--weight", Math.abs(contribution) / largest);
    shown.append(text.slice(end, place[0]), word);
    end = place[1];
  });
  const rest = text.slice(end);
  const cut = /[^\s]/.test(rest.replace(TAG, " "));
  shown.append(cut ? element("span", { className: "cut", title: "not read" }, rest) : rest);
  return { shown, cut };
}

// Returns a token as a person reads it.
export function legible(token) {
  if (token === "</s>") return "end";
  if (token === "\ufffd") return "unknown";
  return token.replaceAll(SPACE, "") || "␣";
}

// Returns a row of tokens, of which one is chosen by the pointer, by focus and by the arrow keys.
//
// `choose` is called with the number of the token, or null when none is chosen any more.
export class TokenRow {
  constructor(tokens, label, choose) {
    this.choose = choose;
    this.buttons = tokens.map((token, position) =>
      element(
        "button",
        {
          type: "button",
          className: `token${token === "</s>" || token === "\ufffd" ? " special" : ""}`,
          tabIndex: position === 0 ? 0 : -1,
          onpointerenter: () => choose(position),
          onpointerleave: () => choose(null),
          onfocus: () => this.focused(position),
          onblur: () => choose(null),
          onclick: (event) => event.currentTarget.focus(),
        },
        legible(token),
      ),
    );
    const parts = tokens.flatMap((token, position) =>
      (position && token.startsWith(SPACE)) || token === "</s>" ? [" ", this.buttons[position]] : [this.buttons[position]],
    );
    this.shown = element(
      "div",
      { className: "tokens", role: "group", ariaLabel: label, dir: "auto", onkeydown: (event) => this.moved(event) },
      ...parts,
    );
  }

  focused(position) {
    this.buttons.forEach((button, other) => (button.tabIndex = other === position ? 0 : -1));
    this.choose(position);
  }

  moved(event) {
    const right = getComputedStyle(this.shown).direction === "rtl" ? -1 : 1;
    const steps = { ArrowRight: right, ArrowLeft: -right, ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const now = this.buttons.indexOf(document.activeElement);
    this.buttons[Math.max(0, Math.min(this.buttons.length - 1, now + steps[event.key]))].focus();
  }

  // Lights the tokens up by weights from 0 to 1, or puts them out without weights.
  light(weights) {
    this.buttons.forEach((button, position) => {
      button.style.setProperty("--weight", weights ? weights[position] : 0);
    });
  }

  // Marks one token as chosen, or none.
  mark(chosen) {
    this.buttons.forEach((button, position) => button.classList.toggle("chosen", position === chosen));
  }
}
