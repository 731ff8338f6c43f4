// Elements. Data becomes text nodes, never markup.

// Returns an element. Properties named on... are listeners; those that an element lacks become attributes.
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

let labels = 0;

// Returns a labelled control, with a hint below it.
export function field(label, control, hint = "") {
  control.id ||= `field-${++labels}`;
  if (!hint) return element("div", { className: "field" }, element("label", { htmlFor: control.id }, label), control);
  control.setAttribute("aria-describedby", `${control.id}-hint`);
  return element(
    "div",
    { className: "field" },
    element("label", { htmlFor: control.id }, label),
    control,
    element("p", { className: "hint", id: `${control.id}-hint` }, hint),
  );
}

// Returns a text area that Ctrl+Enter and Cmd+Enter submit.
export function textArea(properties) {
  return element("textarea", {
    rows: 4,
    dir: "auto",
    required: true,
    spellcheck: false,
    onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        event.target.form.requestSubmit();
      }
    },
    ...properties,
  });
}

// Returns the row of buttons below an input. `keys`: those that submit it.
export function actions(text, keys = "Ctrl + Enter") {
  const hint = element("span", { className: "keys" }, keys);
  return element("div", { className: "actions" }, element("button", { type: "submit" }, text), hint);
}

// Shows a bar of a share, from 0 to 1.
export function bar(share, kind = "") {
  const inner = element("span", {});
  inner.style.setProperty("--share", Math.max(0, Math.min(1, share)));
  return element("span", { className: `meter ${kind}`, ariaHidden: "true" }, inner);
}

export function note(text, kind = "") {
  return element("p", { className: `note ${kind}` }, text);
}

// Prints a number with a minus sign, and with a plus sign if wanted.
export function decimal(number, plus = "") {
  return `${number < 0 ? "−" : plus}${Math.abs(number).toFixed(2)}`;
}

export function percent(share) {
  return `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 2 : 1)} %`;
}
