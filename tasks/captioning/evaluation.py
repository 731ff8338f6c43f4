"""Captions of a part of the data, and how good they are."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.files import replacing
from ...models.decoding import Beams
from ...models.text import PADDING, SubwordCodec, with_start_and_end
from ..datasets.batching import windows
from ..datasets.feature_cache import FeatureCache
from ..task import Evaluation
from .metrics import agreement, diversity

# Images that are captioned at a time.
_BATCH = 64
_SHOWN = 5


class Captioned(NamedTuple):
    """An image's caption.

    Attributes:
        image: its name.
        caption: by the model.
        score: log probability, by the length penalty.
        ids: of the caption, without start and end.
        references: what people said.
    """

    image: str
    caption: str
    score: float
    ids: tuple[int, ...]
    references: tuple[str, ...]


class Result(NamedTuple):
    """All captions of a part.

    Attributes:
        captioned: of each image, in order.
        loss: nats per token of the references.
        seconds: of the search.
    """

    captioned: list[Captioned]
    loss: float
    seconds: float


def caption_all(
    model: keras.Model,
    examples: Iterable[tuple[str, tuple[str, ...]]],
    features: FeatureCache,
    encoder: SubwordCodec,
    prepared: Callable[[str], str],
    beams: Beams,
    longest: int,
) -> Result:
    """Captions images, and measures the loss of their references.

    Args:
        model: a `CaptioningModel`.
        examples: name and references of each image, in the order of `features`.
        features: of the images.
        encoder: text to ids and back.
        prepared: a reference as the model was trained on it.
        beams: how to search.
        longest: tokens of a caption at most.
    """
    captioned: list[Captioned] = []
    total, tokens, seconds = 0.0, 0, 0.0
    for window in windows(examples, _BATCH):
        first = len(captioned)
        images = tf.constant(features.take(np.arange(first, first + len(window))))
        references = caption_ids(encoder, [[prepared(text) for text in texts] for _, texts in window])
        loss, count = _losses(model, images, references)
        total, tokens = total + float(loss), tokens + int(count)
        begun = time.monotonic()
        ids, lengths, texts, scores = (
            tensor.numpy() for tensor in _caption(model, images, encoder, beams, longest)
        )
        seconds += time.monotonic() - begun
        for row, (name, several) in enumerate(window):
            written = tuple(ids[row, : lengths[row]].tolist())
            captioned.append(
                Captioned(name, texts[row].decode(), float(scores[row]), written, tuple(several))
            )
    return Result(captioned, total / max(tokens, 1), seconds)


def caption_ids(encoder: SubwordCodec, captions: Sequence[Sequence[str]]) -> tf.Tensor:
    """The captions of some images, between start and end: int32 [images, captions, time], zero-padded."""
    texts = [text.encode("utf-8", "surrogateescape") for several in captions for text in several]
    rows = with_start_and_end(encoder.encode(tf.constant(texts, tf.string)))
    return tf.RaggedTensor.from_row_lengths(rows, [len(several) for several in captions]).to_tensor(PADDING)


@tf.function(reduce_retracing=True)
def _losses(model: keras.Model, images: tf.Tensor, captions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss of all real tokens, and their number. Traced once for a model, as is `_caption`."""
    targets = captions[..., 1:]
    real = targets != PADDING
    outputs, _ = model(images, captions[..., :-1])
    targets = tf.boolean_mask(targets, real)
    logits = model.logits(tf.boolean_mask(outputs, real))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_sum(losses), tf.size(losses)


@tf.function(reduce_retracing=True)
def _caption(
    model: keras.Model, images: tf.Tensor, encoder: SubwordCodec, beams: Beams, longest: int
) -> tuple[tf.Tensor, ...]:
    """The best caption of each image: its ids, their number, its text and its score."""
    best = model.caption(images, beams, longest)
    ids = best.ids[:, 0]
    return ids, best.lengths[:, 0], encoder.decode(ids), best.scores[:, 0]


def quality(result: Result) -> dict[str, float]:
    """The metrics of a result."""
    captions = [one.caption for one in result.captioned]
    return {"loss": result.loss} | agreement(captions, [one.references for one in result.captioned])


def summary(result: Result, beams: Beams, seen: Callable[[set], set]) -> Evaluation:
    """What `unroll evaluate` says.

    Args:
        result: of a part.
        beams: that it was searched with.
        seen: which of some captions, tuples of ids, are in the training data.
    """
    captioned = result.captioned
    metrics = quality(result)
    captions = [one.caption for one in captioned]
    known = seen({one.ids for one in captioned})
    # The same captions, each for the next image: what comes of knowing the language, but not the image.
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
    return Evaluation(metrics, details, "\n".join(lines).rstrip("\n"))


def write_captions(path: Path, captioned: Sequence[Captioned]) -> None:
    """Writes a JSON line for each image."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        for one in captioned:
            line = one._asdict()
            del line["ids"]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
