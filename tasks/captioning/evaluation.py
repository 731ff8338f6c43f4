"""Captions of a part of the data: BLEU, CIDEr-D, ROUGE-L, loss, and files with every caption."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.files import replacing
from ...common.json_lines import json_line
from ...common.progress_bar import tracked
from ...models.blocks.losses import shifted
from ...models.blocks.traced import traced_per_model
from ...models.decoding import Beams
from ...models.text import PADDING, SubwordCodec, with_start_and_end
from ..beam_search import beams_of, warning_of_same
from ..datasets.batching import chunks
from ..task import Evaluation
from .data import CaptioningData
from .metrics import agreement, diversity
from .page import Captioned, write_page

# Images captioned at a time.
_BATCH = 64
_SHOWN = 5
# Images on the page of `unroll evaluate`.
_ON_PAGE = 100


class Result(NamedTuple):
    """All captions of a part.

    Attributes:
        captioned: One caption for each image, in their order.
        loss: Loss in nats per token of the references.
        seconds: Duration of the search.
    """

    captioned: list[Captioned]
    loss: float
    seconds: float


def evaluate(model: keras.Model, data: CaptioningData, split: str) -> Evaluation:
    """Measures a model on a part of its data with greedy captions, and writes them to a file."""
    result = _caption_all(model, data, split, Beams(1))
    return Evaluation(_quality(result), {}, "", _warning(result))


def report(model: keras.Model, data: CaptioningData, split: str) -> Evaluation:
    """Does the work of `evaluate` with the beam search of the options; writes a page with some images."""
    beams = beams_of(data.config, len(data.codec))
    result = _caption_all(model, data, split, beams)
    shown = zip(result.captioned, data.images(split), strict=False)
    write_page(
        data.results.path("captions", split, ".html"),
        f"Captions of the {split} part",
        islice(shown, _ON_PAGE),
    )
    return _summary(result, beams, data.seen)


def _caption_all(model: keras.Model, data: CaptioningData, split: str, beams: Beams) -> Result:
    """Captions the images of a part, and measures the loss of their references."""
    features, longest = data.features(split), data.config.max_decode_length
    captioned: list[Captioned] = []
    total, tokens, seconds = 0.0, 0, 0.0
    examples = tracked(data.examples(split), f"captioning {split}", "images")
    for chunk in chunks(examples, _BATCH):
        first = len(captioned)
        images = tf.constant(features.take(np.arange(first, first + len(chunk))))
        references = _ids(data.codec, [[data.text(caption) for caption in e.captions] for e in chunk])
        loss, count = _losses(model, images, references)
        total, tokens = total + float(loss), tokens + int(count)
        begun = time.monotonic()
        ids, lengths, texts, scores = (
            tensor.numpy() for tensor in _caption(model, images, data.codec, beams, longest)
        )
        seconds += time.monotonic() - begun
        for row, (name, several) in enumerate(chunk):
            written = tuple(ids[row, : lengths[row]].tolist())
            captioned.append(
                Captioned(name, texts[row].decode(), float(scores[row]), written, tuple(several))
            )
    _write_captions(data.results.path("captions", split, ".jsonl"), captioned)
    return Result(captioned, total / max(tokens, 1), seconds)


def _ids(codec: SubwordCodec, captions: Sequence[Sequence[bytes]]) -> tf.Tensor:
    """Returns captions between start and end: int32 [images, captions, time], zero-padded."""
    texts = [text for several in captions for text in several]
    rows = with_start_and_end(codec.encode(tf.constant(texts, tf.string)))
    return tf.RaggedTensor.from_row_lengths(rows, [len(several) for several in captions]).to_tensor(PADDING)


@traced_per_model
def _losses(model: keras.Model, images: tf.Tensor, captions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the loss of all real tokens, and their number. Traced once per model, like `_caption`."""
    inputs, targets = shifted(captions)
    outputs, _ = model(images, inputs)
    losses, _ = model.token_losses(outputs, targets)
    return tf.reduce_sum(losses), tf.size(losses)


@traced_per_model
def _caption(
    model: keras.Model, images: tf.Tensor, codec: SubwordCodec, beams: Beams, longest: int
) -> tuple[tf.Tensor, ...]:
    """Returns the best caption of each image: its ids, their number, its text and its score."""
    best = model.caption(images, beams, longest)
    ids = best.ids[:, 0]
    return ids, best.lengths[:, 0], codec.decode(ids), best.scores[:, 0]


def _quality(result: Result) -> dict[str, float]:
    """Returns the metrics of a result."""
    captions = [one.caption for one in result.captioned]
    return {"loss": result.loss} | agreement(captions, [one.references for one in result.captioned])


def _summary(result: Result, beams: Beams, seen: Callable[[set], set]) -> Evaluation:
    """Returns the metrics and the report of `unroll evaluate`.

    Args:
        result: Captions of a part.
        beams: Beams of their search.
        seen: Function from a set of captions, tuples of ids, to those that are in the training data.
    """
    captioned = result.captioned
    metrics = _quality(result)
    captions = [one.caption for one in captioned]
    known = seen({one.ids for one in captioned})
    # Each caption is compared with the next image: the quality of a model that knows the language, but not the image.
    shifted = agreement(captions, [one.references for one in captioned[1:] + captioned[:1]])
    details = {
        "diversity": diversity(captions),
        "novelty": sum(one.ids not in known for one in captioned) / max(1, len(captioned)),
        "shifted": shifted,
        "images": len(captioned),
        "beam_width": beams.width,
        "images_per_second": round(len(captioned) / max(result.seconds, 1e-9), 1),
    }
    lines = [
        f"{len(captioned)} images, beam of {beams.width}, {details['images_per_second']} images/s without the encoder",
        f"{'':10}{'':9} each caption for the next image",
    ]
    for name, value in metrics.items():
        lines.append(f"{name:10}{value:9.4f}" + (f"{shifted[name]:9.4f}" if name in shifted else ""))
    lines.append(
        f"{details['diversity']['captions']:.0%} of the captions are different, {details['novelty']:.0%} not in the "
        f"training data; {details['diversity']['words']} different words\n"
    )
    lines += [f"  {one.image}\n  -> {one.caption}\n  =  {one.references[0]}\n" for one in captioned[:_SHOWN]]
    return Evaluation(metrics, details, "\n".join(lines).rstrip("\n"), _warning(result))


def _warning(result: Result) -> str:
    captions, references = zip(*((one.caption, one.references) for one in result.captioned), strict=True)
    return warning_of_same(captions, references, "caption")


def _write_captions(path: Path, captioned: Sequence[Captioned]) -> None:
    """Writes a JSON line for each image."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        for one in captioned:
            line = one._asdict()
            del line["ids"]
            file.write(json_line(line) + "\n")
