// Captioning: a caption, and where the model looked for each of its words.

import { actions, element, field, note } from "./dom.js";
import { Failure, callOne } from "./api.js";
import { curlLine, python, pythonLines } from "./snippets.js";
import { TokenRow } from "./tokens.js";
import { beams, nBest } from "./translation.js";

// Milliseconds for a word of the caption.
const PACE = 900;
const LARGEST = 720;
// Pixels of the example.
const SIDE = 224;

export const captioning = {
  title: "An image in, its caption out",
  limits: [
    "It reads JPEG and PNG images, scaled to a small square, so details are lost.",
    "It knows only what the photographs and captions of its training data show; it guesses about anything else.",
  ],
  accepts: (file) => file.type.startsWith("image/"),
  wanted: "a JPEG or PNG image",

  form() {
    const preview = element("img", { className: "preview", alt: "", hidden: true });
    const name = element("span", {}, "Choose an image, drop one here, or paste one");
    const input = element("input", { type: "file", name: "image", accept: "image/jpeg,image/png", required: true });
    input.addEventListener("change", () => {
      const [file] = input.files;
      URL.revokeObjectURL(preview.src);
      preview.hidden = !file;
      if (!file) return;
      preview.src = URL.createObjectURL(file);
      name.textContent = `${file.name} – choose, drop or paste another one`;
      input.form.requestSubmit();
    });
    // What is no image has no preview.
    preview.addEventListener("error", () => (preview.hidden = true));
    input.id = "image";
    const zone = element("label", { className: "drop", htmlFor: "image" }, preview, name, input);
    return [zone, actions("Caption", "")];
  },

  receive(file, form) {
    const files = new DataTransfer();
    files.items.add(file);
    form.elements.image.files = files.files;
    form.elements.image.dispatchEvent(new Event("change"));
  },

  async example(form) {
    const picture = await shapes().convertToBlob();
    this.receive(new File([picture], "shapes.png", { type: picture.type }), form);
  },

  async read(data) {
    const file = data.get("image");
    if (!file?.name) throw new Failure("There is no image; choose one, or drop it on the page.");
    return { file, image: { b64: await base64(file) } };
  },

  requests(model, { file }) {
    const files = { image: file.name };
    return [
      {
        signature: "n_best",
        curl: curlLine(model, "n_best", {}, files),
        python: pythonLines(
          model,
          `(result,) = model.caption([${python(file.name)}], n_best=${beams(model)})`,
          "print(result.text, result.n_best, result.error)",
        ),
      },
      {
        signature: "attend",
        curl: curlLine(model, "attend", {}, files),
        python: pythonLines(
          model,
          `(result,) = model.attend([${python(file.name)}])`,
          "print(result.tokens, result.weights.shape)",
        ),
      },
    ];
  },

  async answer(model, { file, image }, show, signal) {
    const found = await callOne(model, "n_best", { image }, signal);
    if (found.error) throw new Failure(`“${file.name}” has no caption. ${found.error}`);
    const best = nBest(found, "caption");
    show(best);
    const attended = await callOne(model, "attend", { image }, signal);
    // As the model reads it, without the rotation that a camera may have noted.
    const picture = await createImageBitmap(file, { imageOrientation: "none" });
    show(best, ...attention(picture, attended, signal));
  },
};

// Draws two red circles beside three yellow squares, as in the scenes that `unroll` draws to train on.
function shapes() {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext("2d");
  context.scale(SIDE / 100, SIDE / 100);
  context.fillStyle = "rgb(45 45 45)";
  context.fillRect(0, 0, 100, 100);
  context.fillStyle = "rgb(225 45 40)";
  for (const [x, y] of [[22, 30], [28, 72]]) {
    context.beginPath();
    context.arc(x, y, 12, 0, 2 * Math.PI);
    context.fill();
  }
  context.fillStyle = "rgb(240 215 50)";
  for (const [x, y] of [[72, 20], [82, 52], [66, 80]]) context.fillRect(x - 11, y - 11, 22, 22);
  return canvas;
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Failure("The image cannot be read."));
    reader.readAsDataURL(file);
  });
}

function attention(picture, attended, signal) {
  // Without the end of the caption.
  const tokens = attended.tokens.filter((token) => token).slice(0, -1);
  const maps = attended.attention.slice(0, tokens.length);
  if (!tokens.length || maps.every((map) => map.flat().every((weight) => weight === 0))) {
    return [note("This model has no attention, so there is no map to show.")];
  }
  const canvas = element("canvas", { role: "img" });
  const scale = Math.min(1, LARGEST / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  let kept = 0;
  const row = new TokenRow(tokens, "Caption: choose a word to see where the model looked", (chosen) => {
    if (chosen !== null) stop();
    look(chosen ?? kept);
  });
  const look = (position) => {
    kept = position;
    row.mark(position);
    draw(canvas, picture, maps[position]);
    canvas.ariaLabel = `Where the model looked for word ${position + 1} of ${tokens.length}`;
  };
  let timer = null;
  const play = element("button", { type: "button", className: "quiet", onclick: () => (timer ? stop() : start()) }, "Play");
  const start = () => {
    play.textContent = "Pause";
    timer = setInterval(() => look((kept + 1) % tokens.length), PACE);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  signal.addEventListener("abort", stop);
  look(0);
  return [
    element("h2", {}, "Where the model looked"),
    note("Bright is where it looked for a word. Point at a word, or play them all."),
    element("div", { className: "player" }, row.shown, play),
    canvas,
  ];
}

// Draws the picture in colour where the weights are high, and grey and dim elsewhere.
function draw(canvas, picture, weights) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "source-over";
  context.drawImage(picture, 0, 0, width, height);
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "source-over";
  context.fillStyle = "rgb(0 0 0 / 45%)";
  context.fillRect(0, 0, width, height);

  const [rows, columns] = [weights.length, weights[0].length];
  const largest = Math.max(...weights.flat(), 1e-9);
  const grid = new OffscreenCanvas(columns, rows);
  const mask = new ImageData(columns, rows);
  weights.flat().forEach((weight, position) => (mask.data[4 * position + 3] = (255 * weight) / largest));
  grid.getContext("2d").putImageData(mask, 0, 0);

  const lit = new OffscreenCanvas(width, height);
  const light = lit.getContext("2d");
  light.imageSmoothingQuality = "high";
  light.drawImage(grid, 0, 0, width, height);
  light.globalCompositeOperation = "source-in";
  light.drawImage(picture, 0, 0, width, height);
  context.drawImage(lit, 0, 0);
}
