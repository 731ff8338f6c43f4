// The page: a model, an input, its answer.

import { Failure, listModels } from "./api.js";
import { captioning } from "./captioning.js";
import { element, note } from "./dom.js";
import { languageModeling } from "./language_modeling.js";
import { sentiment } from "./sentiment.js";
import { showRequests } from "./snippets.js";
import { translation } from "./translation.js";

const VIEWS = { sentiment, captioning, translation, language_modeling: languageModeling };
// Milliseconds between two looks for models that are still loading.
const PATIENCE = 2000;

const part = Object.fromEntries(
  ["model", "message", "title", "summary", "columns", "form", "answer", "request", "limits"].map((id) => [
    id,
    document.getElementById(id),
  ]),
);
let models = [];
let model = null;
let running = null;

async function load() {
  try {
    models = (await listModels()).filter((found) => found.version !== null);
    fail(null);
  } catch (error) {
    fail(error);
  }
  if (!models.length) {
    part.title.textContent = part.message.hidden ? "No model answers yet" : "No models";
    part.summary.textContent = part.message.hidden ? "The page looks again every two seconds." : "";
    setTimeout(load, PATIENCE);
    return;
  }
  part.model.replaceChildren(...models.map(({ name }) => element("option", { value: name }, name)));
  part.model.disabled = false;
  choose();
}

// Shows the model that the address names, or the first one.
function choose() {
  let wanted = "";
  try {
    wanted = decodeURIComponent(location.hash.slice(1));
  } catch {
    // No name of a model.
  }
  stop();
  running = null;
  busy(false);
  fail(null);
  model = models.find(({ name }) => name === wanted) ?? models[0];
  part.model.value = model.name;
  document.title = `${model.name} · unroll`;
  part.title.textContent = model.name;
  const view = VIEWS[model.application];
  const what = model.summary || view?.title || "";
  part.summary.textContent = [what.replace(/\.$/, ""), `version ${model.version}`].filter(Boolean).join(" · ");
  part.columns.hidden = !view;
  if (!view) {
    fail(new Failure("This model was not made by this version of unroll export; only the server's interfaces answer for it."));
    return;
  }
  part.form.replaceChildren(...view.form(model));
  const buttons = part.form.querySelector(".actions");
  if (view.example || (model.example && part.form.querySelector("textarea"))) {
    buttons.firstChild.after(element("button", { type: "button", className: "quiet example", onclick: example }, "Try an example"));
  }
  buttons.firstChild.after(element("button", { type: "button", className: "stop", hidden: true, onclick: stop }, "Stop"));
  part.answer.replaceChildren(note("The answer will appear here.", "empty"));
  part.request.replaceChildren(
    element("h2", { id: "request-title" }, "This request"),
    note("The signature, and the lines for Python and curl, will appear here.", "empty"),
  );
  part.limits.replaceChildren(
    element("h2", { id: "limits-title" }, "Limits"),
    element("ul", {}, ...(model.limits.length ? model.limits : view.limits).map((limit) => element("li", {}, limit))),
  );
}

function example() {
  const view = VIEWS[model.application];
  if (view.example) {
    view.example(part.form);
    return;
  }
  part.form.querySelector("textarea").value = model.example;
  part.form.requestSubmit();
}

function fail(error) {
  part.message.hidden = error === null;
  part.message.textContent = error === null ? "" : sentence(error);
}

function sentence(error) {
  return error instanceof Failure ? error.message : `The page failed: ${error}`;
}

function busy(now) {
  part.answer.ariaBusy = String(now);
  part.form.classList.toggle("busy", now);
  const stopping = part.form.querySelector(".stop");
  if (!stopping) return;
  // A button that goes must not take the focus with it.
  if (!now && document.activeElement === stopping) part.form.querySelector("[type=submit]").focus();
  stopping.hidden = !now;
}

function stop() {
  running?.abort();
}

async function submit(event) {
  event.preventDefault();
  stop();
  const controller = (running = new AbortController());
  const view = VIEWS[model.application];
  const show = (...children) => {
    if (running === controller) part.answer.replaceChildren(...children.filter(Boolean));
  };
  fail(null);
  busy(true);
  show(note("The model is at work…", "waiting"));
  try {
    const input = await view.read(new FormData(part.form));
    showRequests(part.request, model, view.requests(model, input));
    await view.answer(model, input, show, controller.signal);
  } catch (error) {
    if (running !== controller) return;
    // Below the part of the answer that has come.
    part.answer.querySelector(".waiting")?.remove();
    part.answer.append(
      error.name === "AbortError"
        ? note("Stopped.")
        : element("p", { className: "message error", role: "alert" }, sentence(error)),
    );
  } finally {
    if (running === controller) busy(false);
  }
}

// A file that is dropped or pasted is the input: an image, or a text.
async function receive(file) {
  const view = VIEWS[model?.application];
  if (!view || !file) return;
  fail(null);
  if (view.accepts ? !view.accepts(file) : !/^text\/|^$/.test(file.type)) {
    fail(new Failure(`“${file.name}” is not ${view.wanted ?? "a text file"}.`));
    return;
  }
  if (view.receive) view.receive(file, part.form);
  else {
    part.form.querySelector("textarea").value = await file.text();
    part.form.requestSubmit();
  }
}

part.form.addEventListener("submit", submit);
part.model.addEventListener("change", () => (location.hash = encodeURIComponent(part.model.value)));
addEventListener("hashchange", choose);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  receive(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  const file = event.clipboardData.files[0];
  if (!file) return;
  event.preventDefault();
  receive(file);
});
load();
