// The request beside the answer: its signature, and the lines that send it from a shell and from Python.

import { element } from "./dom.js";
import { predictPath } from "./api.js";

// Returns a word for a POSIX shell.
export function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

// Returns a Python literal.
export function python(value) {
  if (typeof value === "boolean") return value ? "True" : "False";
  return JSON.stringify(value);
}

// Returns a curl line for a signature and the first row of each input.
//
// Instead of an image, `files` names a file for an input: base64 writes it into the request.
export function curlLine(model, signature, input, files = {}) {
  const url = shellQuoted(location.origin + predictPath(model.name));
  const inputs = Object.fromEntries(Object.entries(input).map(([name, value]) => [name, [value]]));
  const [file] = Object.entries(files);
  if (!file) return `curl --data ${shellQuoted(JSON.stringify({ signature_name: signature, inputs }))} \\\n${url}`;
  const body = JSON.stringify({ signature_name: signature, inputs: { [file[0]]: [{ b64: "\0" }] } });
  const [before, after] = body.split(JSON.stringify("\0").slice(1, -1));
  return `{ printf %s ${shellQuoted(before)}; base64 < ${shellQuoted(file[1])} | tr -d '\\n'; printf %s ${shellQuoted(after)}; } |
curl --data @- ${url}`;
}

// Returns lines of Python that connect to the model and call it.
export function pythonLines(model, ...lines) {
  return [
    "import unroll.serving",
    `model = unroll.serving.connect(${python(location.origin)}, ${python(model.name)})`,
    ...lines,
  ].join("\n");
}

function block(title, content) {
  const copy = element("button", { type: "button", className: "quiet", ariaLabel: `Copy: ${title}` }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(content);
      copy.textContent = "Copied";
    } catch {
      // Without permission, or over plain HTTP from elsewhere.
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      copy.textContent = "Selected";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  const code = element("code", {}, content);
  return element(
    "div",
    { className: "snippet" },
    element("div", { className: "snippet-head" }, element("h3", {}, title), copy),
    element("pre", { tabIndex: 0 }, code),
  );
}

// Returns the signature as text.
function described(model, signature) {
  const { inputs, outputs } = model.signatures[signature];
  const lines = (tensors) => Object.entries(tensors).sort().map(([name, type]) => `  ${name}: ${type}`);
  return [signature, ...lines(inputs), "→", ...lines(outputs)].join("\n");
}

let chosen = "";

// Shows the requests of an answer: { signature, curl, python } each, one at a time.
export function showRequests(section, model, requests) {
  const title = element("h2", { id: "request-title" }, "This request");
  const body = element("div", {});
  const show = (request) => {
    chosen = request.signature;
    body.replaceChildren(
      block("Python", request.python),
      block("curl", request.curl),
      block("Signature", described(model, request.signature)),
    );
  };
  const first = requests.find((request) => request.signature === chosen) ?? requests[0];
  const choices = requests.map((request) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio",
        name: "signature",
        value: request.signature,
        checked: request === first,
        onchange: () => show(request),
      }),
      element("span", {}, request.signature),
    ),
  );
  show(first);
  section.replaceChildren(
    title,
    ...(requests.length > 1
      ? [element("fieldset", { className: "segments" }, element("legend", {}, "Signature"), ...choices)]
      : []),
    body,
  );
}
