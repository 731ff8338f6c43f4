"""How long one caption takes, from the bytes of an image to text: the image encoder and the decoder apart.

    python benchmarks/caption_latency.py --workdir=runs/flickr8k dog.jpg [--calls=50]

The functions are those that `unroll export` puts into the model, with the run's best weights; medians in milliseconds.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from pathlib import Path

import tensorflow as tf
from absl import app, flags
from rounds import medians

from unroll.tasks.applications import read_config
from unroll.tasks.beam_search import beams_of
from unroll.tasks.captioning.data import CaptioningData
from unroll.tasks.captioning.task import build_model
from unroll.tasks.training.run_directory import RunDirectory

_WORKDIR = flags.DEFINE_string("workdir", None, "run directory of a trained captioning model", required=True)
_CALLS = flags.DEFINE_integer("calls", 50, "calls that are timed")


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise app.UsageError("Name one image.")
    run = RunDirectory(_WORKDIR.value)
    _, config = read_config(run)
    data = CaptioningData(config, run)
    model = build_model(config, data.sizes)
    model.load_weights(run.best_weights)
    beams, images, codec = beams_of(config, len(data.codec)), data.image_features, data.codec

    def encode(image: tf.Tensor) -> tf.Tensor:
        return images.of(image)[0]

    def write(features: tf.Tensor) -> tf.Tensor:
        return codec.decode(model.caption(features, beams, config.max_decode_length).ids)[:, 0]

    image = tf.constant([Path(arguments[1]).read_bytes()])
    encoder, decoder, whole = map(tf.function, (encode, write, lambda image: write(encode(image))))
    features, caption = encoder(image), whole(image).numpy()[0].decode()
    # By turns, as a server would run them: fetching a result waits for it.
    parts = {
        "encoder": lambda: encoder(image).numpy(),
        "decoder": lambda: decoder(features).numpy(),
        "both": lambda: whole(image).numpy(),
    }
    print(f"{caption!r}, {len(caption.split())} words, beam of {beams.width}")
    for name, seconds in medians(parts, _CALLS.value, warm_up=3).items():
        print(f"{name:8} {1000 * seconds:7.1f} ms")


if __name__ == "__main__":
    app.run(main)
