// Calls the server's REST interface.

// A sentence for the user.
export class Failure extends Error {}

async function fetchJson(path, options) {
  let response, content;
  try {
    response = await fetch(path, options);
    content = await response.json();
  } catch (error) {
    // What stands between the page and the server may answer with something other than JSON.
    if (error.name === "SyntaxError") content = {};
    else if (error.name === "AbortError") throw error;
    else throw new Failure("The server does not answer. Is it still running?");
  }
  if (!response.ok) throw new Failure(content.error ?? `The server answered with status ${response.status}.`);
  return content;
}

export async function listModels() {
  return (await fetchJson("/page/models")).models;
}

export function predictPath(model) {
  return `/v1/models/${encodeURIComponent(model)}:predict`;
}

// Calls a signature with a column for each input; returns a column for each output.
export async function call(model, signature, inputs, signal) {
  const outputs = (await fetchJson(predictPath(model.name), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ signature_name: signature, inputs }),
    signal,
  })).outputs;
  // A single output stands without its name.
  const names = Object.keys(model.signatures[signature].outputs);
  return names.length === 1 ? { [names[0]]: outputs } : outputs;
}

// Returns the first row of each output of a call with one row.
export async function callOne(model, signature, input, signal) {
  const inputs = Object.fromEntries(Object.entries(input).map(([name, value]) => [name, [value]]));
  const outputs = await call(model, signature, inputs, signal);
  return Object.fromEntries(Object.entries(outputs).map(([name, rows]) => [name, rows[0]]));
}

// Bytes of a model that are not UTF-8 come as base64.
export function text(value) {
  if (typeof value === "string") return value;
  return new TextDecoder().decode(bytes(value));
}

export function bytes(value) {
  if (typeof value === "string") return new TextEncoder().encode(value);
  return Uint8Array.from(atob(value.b64), (character) => character.charCodeAt(0));
}
