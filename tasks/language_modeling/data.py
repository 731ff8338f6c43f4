"""The data of language modelling: long texts."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ...common.files import read_json, write_json
from ...common.progress_bar import tracked
from ...models.text import BOUNDARY, CharacterCodec, RunningTextCodec
from ...models.text.running_text import chunks_of_text
from ..data import Counts, Encoded, PreparedData, check_vocabulary
from ..datasets.batching import batch_by_tokens
from ..datasets.documents import Document, TextSplits, read_files, read_public, read_rows, read_written
from ..datasets.lanes import Lanes, count_windows, cut_windows
from ..datasets.shards import read_shards
from ..datasets.sources import readers
from ..training.run_directory import RESTORE
from .config import LanguageModelingConfig

_LANES = "lanes.bin"
_CODE_POINTS = 0x110000
_GOLDEN_RATIO = (5**0.5 - 1) / 2
# Length in tokens of a sequence for measuring the reach of gradients.
_INSPECTED = 512


class LanguageModelSizes(NamedTuple):
    """The sizes of a language model that its data determines.

    Attributes:
        tokens: Number of ids.
        lanes: Number of lanes, the rows of a batch; None: documents are read whole.
    """

    tokens: int
    lanes: int | None


class LanguageModelingData(PreparedData):
    """Texts in a run directory: with a truncation in data/lanes.bin, as windows; without one in shards, as whole
    documents. The documents of the validation part are files in data/validation/."""

    config: LanguageModelingConfig
    kept_name = "validation"

    @cached_property
    def splits(self) -> TextSplits:
        return read_splits(self.config)

    @property
    def sizes(self) -> LanguageModelSizes:
        return LanguageModelSizes(len(self.codec), self._lanes().lanes if self.config.truncation else None)

    @property
    def summary(self) -> str:
        if self.config.truncation:
            rows = f"{self.counts.examples:,} windows of {self.config.truncation} tokens"
        else:
            rows = f"{self.counts.examples:,} documents"
        return f"{rows}, a vocabulary of {self.sizes.tokens:,} tokens"

    @property
    def steps(self) -> int:
        return self._lanes().batches if self.config.truncation else super().steps

    @property
    def train_examples(self) -> int:
        if not self.config.truncation:
            return self.counts.examples
        lanes = self._lanes()
        return lanes.lanes * lanes.batches

    def batches(self, epoch: int, fixed_shapes: bool, loaded: bool = True) -> tf.data.Dataset:
        config = self.config
        if config.truncation:
            # Multiples of the golden ratio lie far apart, and the first epoch has no offset.
            return self._lanes().read(int(config.truncation * (epoch * _GOLDEN_RATIO % 1)))
        # A document is never cut, so that a long one makes a batch by itself.
        return batch_by_tokens(
            self._shuffled(epoch, ["ids"], ["length"]),
            lambda example: tf.size(example["ids"]),
            self.batch_limits,
            fixed_shapes,
        )

    def sequences(self) -> tf.data.Dataset:
        return self._lanes().read_joined(_INSPECTED) if self.config.truncation else super().sequences()

    @cached_property
    def codec(self) -> CharacterCodec | RunningTextCodec:
        """The codec of the texts."""
        codec = RunningTextCodec if self.config.has_pieces else CharacterCodec
        return codec.from_config(self._read_json("text.json"))

    def encoded(self, split: str) -> Iterator[Iterator[np.ndarray]]:
        """Yields the documents of a part, each as pieces of ids."""
        if split == "train" and self.run.data.exists():
            # The source may have changed or gone since the data was prepared.
            yield from self._prepared()
            return
        for document in self.examples(split):
            yield self.codec.encode_pieces(document.pieces())

    def _prepared(self) -> Iterator[Iterator[np.ndarray]]:
        """Yields the documents of the prepared training part, each as pieces of ids."""
        folder = self.run.intact(self.run.data)
        if self.config.truncation:
            yield from self._lanes().documents()
            return
        for example in read_shards(folder, ["ids"], ["length"], 1, 0).as_numpy_iterator():
            yield iter([example["ids"][1:-1]])

    def _learn(self, folder: Path) -> int:
        documents = tracked(self.splits.read("train"), "learning the vocabulary", "documents")
        if self.config.has_pieces:
            codec = self._learn_pieces(documents)
            # The number of tokens is known only now.
            documents = tracked(self.splits.read("train"), "counting the tokens", "documents")
            lengths = (sum(map(len, codec.encode_pieces(document.pieces()))) for document in documents)
            examples = sum(map(self._examples_of, lengths))
        else:
            codec, examples = self._learn_symbols(documents)
        write_json(folder / "text.json", codec.get_config())
        return examples

    def _learn_pieces(self, documents: Iterable[Document]) -> RunningTextCodec:
        """Learns words or subwords, or takes those of the run that this one starts from."""
        if self._initial_vocabulary:
            return RunningTextCodec.from_config(read_json(self._initial_vocabulary / "text.json", RESTORE))
        config = self.config
        codec = RunningTextCodec.learn(
            ([text] for document in documents for text in chunks_of_text(document.pieces())),
            tokenizer=config.tokenizer,
            max_size=config.vocabulary_size,
            min_count=config.min_count,
        )
        check_vocabulary(codec, "token", config.min_count)
        return codec

    def _learn_symbols(self, documents: Iterable[Document]) -> tuple[CharacterCodec, int]:
        """Learns characters or bytes; returns their codec, and the number of examples."""
        config, examples = self.config, 0
        counts = np.zeros(_CODE_POINTS, np.int64)
        for document in documents:
            characters = 0
            for piece in document.pieces():
                found = np.bincount(piece)
                counts[: len(found)] += found
                characters += len(piece)
            examples += self._examples_of(characters)
        occurrences = {chr(number): int(counts[number]) for number in np.flatnonzero(counts)}
        codec = CharacterCodec.from_counts(
            occurrences, tokenizer=config.tokenizer, min_count=config.min_count
        )
        check_vocabulary(codec, "character", config.min_count)
        return codec, examples

    def _examples_of(self, tokens: int) -> int:
        """Returns the number of examples that a document makes."""
        return count_windows(tokens, self.config.truncation) if self.config.truncation else 1

    def _write(self, folder: Path, examples: int) -> Counts:
        steps = self.config.truncation
        if not steps:
            return super()._write(folder, examples)
        windows = (window for document in self.encoded("train") for window in cut_windows(document, steps))
        windows = tracked(windows, "writing the training part", "windows", examples)
        Lanes(folder / _LANES, steps, self.config.batch, examples).write(windows)
        return Counts(examples, steps)

    def _encoded(self, counts: Counts) -> Iterator[Encoded]:
        """Yields each document with its boundaries, held in memory."""
        boundary = np.full(1, BOUNDARY, np.int32)
        for pieces in self.encoded("train"):
            ids = np.concatenate([boundary, *pieces, boundary])
            counts.add(len(ids))
            yield {"ids": ids, "length": np.array([len(ids) - 1])}

    def _keep(self, path: Path) -> None:
        path.mkdir()
        for number, document in enumerate(self.splits.read("validation")):
            document.write(path / f"{number:08d}.txt")

    def _kept(self, path: Path) -> Iterator[Document]:
        return read_written(path, self.config.unit)

    def _lanes(self) -> Lanes:
        config = self.config
        return Lanes(self.run.data / _LANES, config.truncation, config.batch, self.counts.examples)


def read_splits(config: LanguageModelingConfig) -> TextSplits:
    """Returns the parts of the text that the options name."""

    def from_file(pattern: str) -> Iterable[Document]:
        if config.text_column:
            return read_rows(pattern, config.text_column, config.unit)
        return read_files(pattern, config.unit)

    def from_public(name: str, split: str) -> Iterable[Document]:
        return read_public(name, split, config.text_column or "text", config.unit)

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return TextSplits(readers(config, from_file, from_public), fractions)
