"""Nats, bits and perplexity, of the network and of a Kneser-Ney table."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.counts import counted
from ...common.progress_bar import ProgressBar
from ...models.blocks.losses import masked_cross_entropy, shifted
from ...models.blocks.traced import traced_per_model
from ...models.recurrent import States
from ...models.text import BOUNDARY, UNKNOWN, TextCounter
from ..datasets.lanes import Window, cut_windows
from ..task import Evaluation
from .data import LanguageModelingData
from .kneser_ney import KneserNey

# A document is an iterable of pieces of ids.
Documents = Iterable[Iterable[np.ndarray]]

# Documents read side by side; steps read at a time, and logits of a row in them.
_ROWS = 16
_STEPS, _LOGITS = 512, 1 << 21

# A token of each tokenizer, in full and in short.
_NOUNS = {
    "characters": ("character", "char"),
    "bytes": ("byte", "byte"),
    "subwords": ("subword", "subword"),
    "words": ("token", "token"),
}
# The largest power of e among the perplexities.
_LARGEST = 700


class Measured(NamedTuple):
    """The loss of a model on some documents.

    Attributes:
        loss: Sum over all tokens, in nats.
        tokens: Number of tokens.
        unknown: Number of tokens that the model does not know.
        characters: Number of characters.
        words: Number of words, between white space.
        documents: Number of documents.
        name: Name of the model.
        size: Number of its parameters, or entries.
    """

    loss: float
    tokens: int
    unknown: int
    characters: int
    words: int
    documents: int
    name: str
    size: int

    @property
    def metrics(self) -> dict[str, float]:
        """Loss in nats per token, bits per character, and perplexity by token and by word; NaN without tokens."""
        loss, of_character, of_word = (
            self.loss / number if number else math.nan
            for number in (self.tokens, self.characters, self.words)
        )
        return {
            "loss": loss,
            "bits_per_character": of_character / math.log(2),
            "perplexity": math.exp(min(loss, _LARGEST)),
            "word_perplexity": math.exp(min(of_word, _LARGEST)),
        }


def evaluate(model: keras.Model, data: LanguageModelingData, split: str) -> Evaluation:
    """Measures a model on a part of its data."""
    return _evaluation(measure(model, data.encoded(split), TextCounter(data.codec)), data)


def report(model: keras.Model, data: LanguageModelingData, split: str) -> Evaluation:
    """Does the work of `evaluate`, and compares with a Kneser-Ney table of the training text."""
    counter, order = TextCounter(data.codec), data.config.ngram_order
    network = measure(model, data.encoded(split), counter)
    if not order:
        return _evaluation(network, data)
    table = KneserNey.learn(data.encoded("train"), order, len(data.codec))
    return _evaluation(network, data, measure_ngrams(table, data.encoded(split), network))


def measure(model: keras.Model, documents: Documents, counter: TextCounter) -> Measured:
    """Measures a language model, with the state carried through each whole document.

    Every token of a document is predicted from all before it, the first one from nothing; the end is not counted.

    Args:
        model: (ids, states) -> (logits, states).
        documents: Documents of any number and length; memory grows with neither.
        counter: Counts their characters and words.
    """
    steps = max(1, min(_STEPS, _LOGITS // model.vocabulary_size))
    documents = iter(documents)
    rows = [cut_windows(document, steps) for document in islice(documents, _ROWS)]
    states = model.recurrent.get_initial_state(len(rows))
    count, sums = len(rows), np.zeros(5)

    with ProgressBar("evaluating", "tokens") as bar:
        while rows:
            batch: list[Window | None] = []
            for number, windows in enumerate(rows):
                window = next(windows, None)
                if window is None and (document := next(documents, None)) is not None:
                    rows[number] = cut_windows(document, steps)
                    window = next(rows[number])
                    count += 1
                batch.append(window)
            if not any(batch):
                break
            ids = np.stack([w.ids if w else np.full(steps + 1, BOUNDARY, np.int32) for w in batch])
            loss, states = _read(
                model, tf.constant(ids), tf.constant([bool(w and w.begins) for w in batch]), states
            )
            read = (ids[:, 1:] != BOUNDARY).sum()
            unknown = (ids[:, 1:] == UNKNOWN).sum()
            sums += float(loss), read, unknown, counter.characters(ids[:, 1:]), counter.words(ids)
            bar.update(int(read))
    size = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    options = model.options
    name = f"{options.cell}, {options.layers} x {options.units}"
    tokens, unknown, characters, words = map(int, sums[1:])
    return Measured(float(sums[0]), tokens, unknown, characters, words, count, name, size)


@traced_per_model
def _read(model: keras.Model, ids: tf.Tensor, reset: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
    """Returns the loss of the tokens in some windows, and the states after them. Traced once per model."""
    states = tf.nest.map_structure(lambda s: tf.where(reset[:, None], tf.zeros_like(s), s), states)
    inputs, targets = shifted(ids)
    logits, states = model(inputs, states=states)
    # The boundary is the target where a document ends, and after it.
    return tf.reduce_sum(masked_cross_entropy(logits, targets, targets != BOUNDARY)), states


def measure_ngrams(table: KneserNey, documents: Documents, network: Measured) -> Measured:
    """Measures a table of n-grams on the documents that a network was measured on, with one at a time in memory."""
    loss = -sum(float(np.log(table.probabilities(document)[:-1]).sum()) for document in documents)
    return network._replace(loss=loss, name=f"Kneser-Ney, order {table.order}", size=table.size)


def _evaluation(network: Measured, data: LanguageModelingData, *others: Measured) -> Evaluation:
    """Returns the metrics of the network, and a table that compares it with the others."""
    details = {
        "documents": network.documents,
        "tokens": network.tokens,
        "unknown_tokens": network.unknown,
        "characters": network.characters,
        "words": network.words,
        "models": {m.name: m.metrics | {"size": m.size} for m in (network, *others)},
    }
    return Evaluation(
        network.metrics, details, "\n".join(_report(network, others, *_NOUNS[data.config.tokenizer]))
    )


def _report(network: Measured, others: Iterable[Measured], noun: str, token: str) -> Iterator[str]:
    counts = [counted(network.documents, "document"), counted(network.tokens, noun)]
    if network.unknown:
        counts.append(f"{network.unknown:,} of them not known to the model")
    yield ", ".join(counts)
    yield ""
    # Bytes are the characters of their models.
    character = "byte" if token == "byte" else "char"
    heads = (f"nats/{token}", f"bits/{character}", f"ppl/{token}", "ppl/word")
    yield f"{'':24}" + "".join(f"{head:>14}" for head in heads) + f"{'numbers stored':>17}"
    for measured in (network, *others):
        loss, bits, perplexity, by_word = measured.metrics.values()
        yield (
            f"{measured.name:24}{loss:14.4f}{bits:14.4f}{perplexity:14.3f}{by_word:14.1f}{measured.size:17,}"
        )
