"""Nats and bits per character and perplexity, of the network and of a Kneser-Ney table."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice, tee
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.counts import counted
from ...common.progress_bar import ProgressBar
from ...models.blocks.losses import masked_cross_entropy, shifted
from ...models.blocks.traced import traced_per_model
from ...models.recurrent import States
from ...models.text import BOUNDARY, UNKNOWN
from ..datasets.lanes import Window, cut_windows
from ..task import Evaluation
from .data import LanguageModelingData
from .kneser_ney import KneserNey

# A document is an iterable of pieces of ids.
Documents = Iterable[Iterable[np.ndarray]]

# Documents read side by side, and steps read at a time.
_ROWS = 16
_STEPS = 512


class Measured(NamedTuple):
    """The loss of a model on some documents.

    Attributes:
        loss: Sum over all characters, in nats.
        characters: Number of characters.
        unknown: Number of characters that the model does not know.
        documents: Number of documents.
        name: Name of the model.
        size: Number of its parameters, or entries.
    """

    loss: float
    characters: int
    unknown: int
    documents: int
    name: str
    size: int

    @property
    def metrics(self) -> dict[str, float]:
        """Loss in nats and bits per character, and perplexity; NaN without characters."""
        loss = self.loss / self.characters if self.characters else math.nan
        return {
            "loss": loss,
            "bits_per_character": loss / math.log(2),
            "perplexity": math.exp(min(loss, 700)),
        }


def evaluate(model: keras.Model, data: LanguageModelingData, split: str) -> Evaluation:
    """Measures a model on a part of its data."""
    return _evaluation(measure(model, data.encoded(split)))


def report(model: keras.Model, data: LanguageModelingData, split: str) -> Evaluation:
    """Does the work of `evaluate`, and compares with a Kneser-Ney table of the training text."""
    network, order = measure(model, data.encoded(split)), data.config.ngram_order
    if not order:
        return _evaluation(network)
    table = KneserNey.learn(data.encoded("train"), order, len(data.codec))
    return _evaluation(network, measure_ngrams(table, data.encoded(split)))


def measure(model: keras.Model, documents: Documents) -> Measured:
    """Measures a language model, with the state carried through each whole document.

    Every character of a document is predicted from all before it, the first one from nothing; the end is not counted.

    Args:
        model: (ids, states) -> (logits, states).
        documents: Documents of any number and length; memory grows with neither.
    """
    documents = iter(documents)
    rows = [cut_windows(document, _STEPS) for document in islice(documents, _ROWS)]
    states = model.recurrent.get_initial_state(len(rows))
    count, sums = len(rows), np.zeros(3)

    with ProgressBar("evaluating", "characters") as bar:
        while rows:
            batch: list[Window | None] = []
            for number, windows in enumerate(rows):
                window = next(windows, None)
                if window is None and (document := next(documents, None)) is not None:
                    rows[number] = cut_windows(document, _STEPS)
                    window = next(rows[number])
                    count += 1
                batch.append(window)
            if not any(batch):
                break
            ids = np.stack([w.ids if w else np.full(_STEPS + 1, BOUNDARY, np.int32) for w in batch])
            loss, states = _read(
                model, tf.constant(ids), tf.constant([bool(w and w.begins) for w in batch]), states
            )
            read = (ids[:, 1:] != BOUNDARY).sum()
            sums += float(loss), read, (ids[:, 1:] == UNKNOWN).sum()
            bar.update(int(read))
    size = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    options = model.options
    name = f"{options.cell}, {options.layers} x {options.units}"
    return Measured(float(sums[0]), int(sums[1]), int(sums[2]), count, name, size)


@traced_per_model
def _read(model: keras.Model, ids: tf.Tensor, reset: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
    """Returns the loss of the characters in some windows, and the states after them. Traced once per model."""
    states = tf.nest.map_structure(lambda s: tf.where(reset[:, None], tf.zeros_like(s), s), states)
    inputs, targets = shifted(ids)
    logits, states = model(inputs, states=states)
    # The boundary is the target where a document ends, and after it.
    return tf.reduce_sum(masked_cross_entropy(logits, targets, targets != BOUNDARY)), states


def measure_ngrams(table: KneserNey, documents: Documents) -> Measured:
    """Measures a table of n-grams, with one document at a time in memory."""
    loss, characters, unknown, count = 0.0, 0, 0, 0
    for document in documents:
        pieces, again = tee(document)
        loss -= float(np.log(table.probabilities(pieces)[:-1]).sum())
        for piece in again:
            characters += len(piece)
            unknown += int((piece == UNKNOWN).sum())
        count += 1
    name = f"Kneser-Ney, order {table.order}"
    return Measured(loss, characters, unknown, count, name, table.size)


def _evaluation(network: Measured, *others: Measured) -> Evaluation:
    """Returns the metrics of the network, and a table that compares it with the others."""
    details = {
        "documents": network.documents,
        "characters": network.characters,
        "unknown_characters": network.unknown,
        "models": {m.name: m.metrics | {"size": m.size} for m in (network, *others)},
    }
    return Evaluation(network.metrics, details, "\n".join(_report(network, others)))


def _report(network: Measured, others: Iterable[Measured]) -> Iterator[str]:
    unknown = f", {network.unknown:,} of them not known to the model" if network.unknown else ""
    yield f"{counted(network.documents, 'document')}, {counted(network.characters, 'character')}{unknown}"
    yield ""
    yield f"{'':24}{'nats/char':>10}{'bits/char':>11}{'perplexity':>12}{'numbers stored':>17}"
    for measured in (network, *others):
        loss, bits, perplexity = measured.metrics.values()
        yield f"{measured.name:24}{loss:10.4f}{bits:11.4f}{perplexity:12.3f}{measured.size:17,}"
