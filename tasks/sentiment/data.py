"""The data of sentiment analysis: texts with labels."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import tee
from operator import mul
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ...common.errors import UserError
from ...common.files import write_json
from ...common.progress_bar import tracked
from ...models.blocks.ngrams import NGramCounts
from ...models.text import WordCodec
from ..data import Counts, Encoded, PreparedData, encode, learn_codec
from ..datasets import public
from ..datasets.batching import BatchLimits, batch_by_tokens, bucket_boundaries
from ..datasets.shards import read_shards
from ..datasets.sources import readers
from ..datasets.splits import Splits
from ..datasets.tables import read_table
from ..training.run_directory import RunDirectory
from .config import SentimentConfig

# Categories of Unicode that no label has: control characters, surrogates, separators of lines and of paragraphs.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_NGRAMS = "ngrams.npy"
# Weights of n-grams, unless the options say how many buckets; 8 MB.
_MOST_WEIGHTS = 2**21
# Examples whose n-grams are counted at a time.
_COUNTED = 256
# Labels printed at the start.
_SHOWN = 20


class Example(NamedTuple):
    """A text and its label; in the text of a public set, surrogate escapes stand for bytes that are not UTF-8."""

    text: str
    label: str

    @property
    def text_bytes(self) -> bytes:
        """The text as in the file."""
        return self.text.encode("utf-8", "surrogateescape")


class SentimentSizes(NamedTuple):
    """The sizes of a classifier that its data determines.

    Attributes:
        tokens: Number of ids of the texts.
        labels: Number of labels.
        ngram_buckets: Number of buckets of n-grams; None without n-grams.
    """

    tokens: int
    labels: int
    ngram_buckets: int | None = None


class SentimentData(PreparedData):
    """Texts with labels, in a run directory."""

    config: SentimentConfig
    kept_class = Example

    @cached_property
    def splits(self) -> Splits:
        return read_splits(self.config)

    @property
    def sizes(self) -> SentimentSizes:
        buckets = len(self.ngram_counts) if self.config.ngrams else None
        return SentimentSizes(len(self.codec), len(self.labels), buckets)

    @property
    def summary(self) -> str:
        labels, tokens = len(self.labels), len(self.codec)
        return f"{self.train_examples:,} examples with {labels} labels, a vocabulary of {tokens:,} tokens"

    @property
    def batch_limits(self) -> BatchLimits:
        return BatchLimits(self.config.max_length, self.config.batch_tokens)

    def batches(self, epoch: int, fixed_shapes: bool, loaded: bool = True) -> tf.data.Dataset:
        return batch_by_tokens(
            self._shuffled(epoch, ["ids"], ["label"]),
            lambda example: tf.size(example["ids"]),
            self.batch_limits,
            fixed_shapes,
        )

    @cached_property
    def codec(self) -> WordCodec:
        """The codec of the texts."""
        return WordCodec.from_config(self._read_json("text.json"))

    @cached_property
    def label_counts(self) -> dict[str, int]:
        """The number of training examples with each label, in the order of the classes."""
        return self._read_json("labels.json")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the classes."""
        return tuple(self.label_counts)

    @property
    def ngram_counts(self) -> np.ndarray:
        """The number of training examples of each class with an n-gram of each bucket, int32 [buckets, classes]."""
        return _ngram_counts(self.run)

    def labelled(self, split: str) -> Iterator[tuple[Example, int]]:
        """Yields each example of a part with the number of its class."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        for example in self.examples(split):
            yield example, numbers[example.label]

    def _learn(self, folder: Path) -> int:
        labels: Counter[str] = Counter()

        def texts() -> Iterator[list[bytes]]:
            for example in self.splits.read("train"):
                labels[example.label] += 1
                yield [example.text_bytes]

        codec = learn_codec(WordCodec, texts(), self.config)
        self._check_labels(labels)
        print(f"Labels: {_listed(labels)}.")
        write_json(folder / "text.json", codec.get_config())
        write_json(folder / "labels.json", dict(sorted(labels.items())))
        return labels.total()

    def _write(self, folder: Path, examples: int) -> Counts:
        counts = super()._write(folder, examples)
        if self.config.ngrams:
            np.save(folder / _NGRAMS, self._count_ngrams(folder, self._buckets(counts)))
        return counts

    def _buckets(self, counts: Counts) -> int:
        """Returns the number of buckets of n-grams, which the weights of a run to start from decide."""
        if self._initial_run:
            return len(_ngram_counts(self._initial_run))
        tokens = sum(map(mul, counts.buckets, bucket_boundaries(counts.longest)))
        return self.config.ngram_buckets or min(4 * tokens, _MOST_WEIGHTS // len(self.labels))

    def _count_ngrams(self, folder: Path, buckets: int) -> np.ndarray:
        """Counts the n-grams of the training examples in a folder."""
        counts = NGramCounts(len(self.labels), self.config.ngrams, buckets)
        batches = read_shards(folder, ["ids"], ["label"], buffer=1, seed=0).padded_batch(_COUNTED)
        for batch in tracked(batches, "counting n-grams", "batches"):
            counts.add(batch["ids"], batch["label"].numpy())
        return counts.counts

    def _encoded(self, counts: Counts) -> Iterator[Encoded]:
        labelled, again = tee(self.labelled("train"))
        ids = encode(self.codec, ([example.text_bytes] for example, _ in again))
        for (_, number), (row,) in zip(labelled, ids, strict=True):
            counts.add(len(row))
            yield {"ids": row, "label": np.array([number])}

    def _read(self, split: str) -> Iterator[Example]:
        """Yields the examples of a part; raises UserError if the training part lacks a label."""
        for example in self.splits.read(split):
            if example.label not in self.labels:
                more = f" and {len(self.labels) - _SHOWN} more" if len(self.labels) > _SHOWN else ""
                source = self._initial_run.path if self._initial_run else "the training data"
                raise UserError(
                    f"The {split} data has the label {example.label!r}, which {source} lacks; its labels "
                    f"are {', '.join(map(repr, self.labels[:_SHOWN]))}{more}. Text: {example.text[:60]!r}."
                )
            yield example

    def _check_labels(self, labels: Counter[str]) -> None:
        if len(labels) < 2:
            raise UserError(
                f"The training data has only the label {next(iter(labels), None)!r}; a classifier needs at least two."
            )
        for label in labels:
            if not any(map(str.isprintable, label.strip())) or _UNPRINTABLE & {
                *map(unicodedata.category, label)
            }:
                raise UserError(
                    f"The training data has the label {label!r}; labels are printable text in UTF-8. Mend the column "
                    f"{self.config.label_column!r}, or choose another by --label_column."
                )


def read_splits(config: SentimentConfig) -> Splits:
    """Returns the parts of the data set that the options name."""
    columns = (config.text_column, config.label_column)

    def from_file(path: str) -> Iterator[Example]:
        return _examples(read_table(path, columns, filled=[config.label_column]))

    def from_public(name: str, split: str) -> Iterator[Example]:
        return _examples(public.read_features(name, split, columns))

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return Splits(readers(config, from_file, from_public), fractions)


def _examples(rows: Iterable[tuple[str, ...]]) -> Iterator[Example]:
    return (Example(str(text), str(label).strip()) for text, label in rows)


def _listed(labels: Counter[str]) -> str:
    """Returns the labels with their counts, the most frequent first."""
    shown = ", ".join(f"{label} ({count:,})" for label, count in labels.most_common(_SHOWN))
    more = len(labels) - _SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def _ngram_counts(run: RunDirectory) -> np.ndarray:
    return np.load(run.intact(run.data / _NGRAMS), mmap_mode="r")
