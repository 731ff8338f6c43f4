"""Nats, bits and perplexity, of the network and of what it is compared with."""

import math
from collections.abc import Iterable, Iterator, Sequence
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
from .adaptation import Adaptation, adapted_losses
from .data import LanguageModelingData
from .kneser_ney import KneserNey
from .mixture import fitted_weight, mixed

# A document is an iterable of pieces of ids.
Documents = Iterable[Iterable[np.ndarray]]

# Documents read side by side; steps read at a time, and logits of a row in them.
_ROWS = 16
_STEPS, _LOGITS = 512, 1 << 21
# Tokens of a window without history, as in nanoGPT.
_WINDOW = 256

# A token of each tokenizer, in full and in short.
_NOUNS = {
    "characters": ("character", "char"),
    "bytes": ("byte", "byte"),
    "subwords": ("subword", "subword"),
    "words": ("token", "token"),
}
# Width of the names in the report.
_NAME = 44
# The largest power of e among the perplexities.
_LARGEST = 700
# Numbers from here on are written with a power of ten.
_WIDEST = 1e7


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
        losses: Loss of each token of each document, if they were kept.
    """

    loss: float
    tokens: int
    unknown: int
    characters: int
    words: int
    documents: int
    name: str
    size: int
    losses: Sequence[np.ndarray] = ()

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
    """Does the work of `evaluate`, and compares with the network without history, with a Kneser-Ney table of the
    training text, with their mixture, and with the network that adapts to the text."""
    config, counter = data.config, TextCounter(data.codec)
    network = measure(model, data.encoded(split), counter, keeps=True)
    without_history = measure_windows(model, data.encoded(split), network)
    networks, tables = [network], []
    if config.adapt:
        adaptation = Adaptation(config.adapt_rate, config.adapt_decay, config.adapt_segment)
        losses = adapted_losses(model, data.encoded(split), data.encoded("train"), adaptation)
        networks.append(_with(network, losses, f"{network.name}, adapted"))
    if config.ngram_order:
        table = KneserNey.learn(data.encoded("train"), config.ngram_order, len(data.codec))
        ngrams = measure_ngrams(table, data.encoded(split), network)
        weight = _weight(model, table, data)
        tables = [ngrams]
        if weight is not None:
            tables += [
                n._replace(
                    loss=mixed(n.losses, ngrams.losses, weight),
                    name=f"{n.name} + {weight:.2f} Kneser-Ney",
                    size=n.size + ngrams.size,
                )
                for n in networks
            ]
    return _evaluation(network, data, without_history, *networks[1:], *tables)


def _weight(model: keras.Model, table: KneserNey, data: LanguageModelingData) -> float | None:
    """Returns the share of a table in its mixture with a network: the given one, or else the best on the validation
    part; None without both."""
    if data.config.ngram_weight is not None or not data.has_validation:
        return data.config.ngram_weight
    network = measure(model, data.encoded("validation"), TextCounter(data.codec), keeps=True)
    return fitted_weight(network.losses, measure_ngrams(table, data.encoded("validation"), network).losses)


def measure(model: keras.Model, documents: Documents, counter: TextCounter, keeps: bool = False) -> Measured:
    """Measures a language model, with the state carried through each whole document.

    Every token of a document is predicted from all before it, the first one from nothing; the end is not counted.

    Args:
        model: (ids, states) -> (logits, states).
        documents: Documents of any number and length; memory grows with neither, unless losses are kept.
        counter: Counts their characters and words.
        keeps: Whether to keep the loss of each token.
    """
    steps = max(1, min(_STEPS, _LOGITS // model.vocabulary_size))
    documents = iter(documents)
    rows = [cut_windows(document, steps) for document in islice(documents, _ROWS)]
    states = model.initial_states(len(rows))
    count, sums = len(rows), np.zeros(5)
    # The losses of each document, and the document of each row.
    losses: list[list[np.ndarray]] = [[] for _ in rows]
    numbers = [*range(count)]

    with ProgressBar("evaluating", "tokens") as bar:
        while rows:
            batch: list[Window | None] = []
            for number, windows in enumerate(rows):
                window = next(windows, None)
                if window is None and (document := next(documents, None)) is not None:
                    rows[number] = cut_windows(document, steps)
                    window = next(rows[number])
                    numbers[number] = count
                    losses.append([])
                    count += 1
                batch.append(window)
            if not any(batch):
                break
            ids = np.stack([w.ids if w else np.full(steps + 1, BOUNDARY, np.int32) for w in batch])
            found, states = _read(
                model, tf.constant(ids), tf.constant([bool(w and w.begins) for w in batch]), states
            )
            found, real = found.numpy(), ids[:, 1:] != BOUNDARY
            for row, number in enumerate(numbers) if keeps else ():
                losses[number].append(found[row][real[row]])
            loss, read = found.sum(dtype=np.float64), real.sum()
            unknown = (ids[:, 1:] == UNKNOWN).sum()
            sums += float(loss), read, unknown, counter.characters(ids[:, 1:]), counter.words(ids)
            bar.update(int(read))
    size = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    name = model.description
    tokens, unknown, characters, words = map(int, sums[1:])
    kept = [np.concatenate(of_document) for of_document in losses] if keeps else ()
    return Measured(float(sums[0]), tokens, unknown, characters, words, count, name, size, kept)


def measure_windows(model: keras.Model, documents: Documents, network: Measured) -> Measured:
    """Measures a network on the documents that it was measured on, in windows that begin without history."""
    windows = (window.ids for document in documents for window in cut_windows(document, _WINDOW))
    loss = 0.0
    while rows := [*islice(windows, _ROWS)]:
        states = model.initial_states(len(rows))
        found, _ = _read(model, tf.constant(np.stack(rows)), tf.ones([len(rows)], tf.bool), states)
        loss += found.numpy().sum(dtype=np.float64)
    return network._replace(loss=float(loss), name=f"{network.name}, windows of {_WINDOW}", losses=())


@traced_per_model
def _read(model: keras.Model, ids: tf.Tensor, reset: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
    """Returns the losses of the tokens in some windows, [rows, steps], and the states after them. Traced once per
    model."""
    states = tf.nest.map_structure(lambda s: tf.where(reset[:, None], tf.zeros_like(s), s), states)
    inputs, targets = shifted(ids)
    logits, states = model(inputs, states=states)
    # The boundary is the target where a document ends, and after it.
    return masked_cross_entropy(logits, targets, targets != BOUNDARY), states


def measure_ngrams(table: KneserNey, documents: Documents, network: Measured) -> Measured:
    """Measures a table of n-grams on the documents that a network was measured on, with the losses of all in memory."""
    losses = [-np.log(table.probabilities(document)[:-1]) for document in documents]
    return _with(network, losses, f"Kneser-Ney, order {table.order}")._replace(size=table.size)


def _with(network: Measured, losses: Sequence[np.ndarray], name: str) -> Measured:
    """Returns the measure of another model on the same documents."""
    return network._replace(
        loss=float(sum(of.sum(dtype=np.float64) for of in losses)), name=name, losses=losses
    )


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
    yield f"{'':{_NAME}}" + "".join(f"{head:>14}" for head in heads) + f"{'numbers stored':>17}"
    for measured in (network, *others):
        numbers = zip(measured.metrics.values(), (4, 4, 3, 1), strict=True)
        columns = "".join(f"{n:14.{digits}f}" if n < _WIDEST else f"{n:14.3e}" for n, digits in numbers)
        yield f"{measured.name:{_NAME}}{columns}{measured.size:17,}"
