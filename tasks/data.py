"""The data of a run: read once, learnt from, encoded and kept in the run directory."""

import abc
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import tensorflow as tf

from ..common.checksums import lists, seal
from ..common.errors import UserError
from ..common.files import read_json, replacing, write_json
from ..common.progress_bar import tracked
from ..models.text import Codec
from .datasets.batching import BatchLimits, bucket, chunks, count_batches
from .datasets.documents import TextSplits
from .datasets.fingerprints import changed_file, fingerprints
from .datasets.shards import Change, read_shards, shards_for, write_shards
from .datasets.splits import Splits, keep_examples, kept_examples
from .results import Results
from .training.run_directory import RESTORE, RunDirectory

Encoded = dict[str, np.ndarray]
AnyCodec = TypeVar("AnyCodec", bound=Codec)

_COUNTS = "counts.json"
_SOURCES = "sources.json"
# Texts that go through a graph at a time.
_CHUNK = 1024
# Far apart, so that runs with neighbouring seeds have no epoch in common.
_SEEDS = 1_000_003


@dataclasses.dataclass
class Counts:
    """Counts of the training data, as counts.json holds them.

    Attributes:
        examples: Number of examples to train on.
        longest: Number of tokens of the longest row.
        rows: Maximum number of rows of an example: the captions of an image; 1 in other applications.
        left_out: Number of rows that are not trained on.
        buckets: Number of examples in each bucket of lengths.
    """

    examples: int = 0
    longest: int = 0
    rows: int = 1
    left_out: int = 0
    buckets: list[int] = dataclasses.field(default_factory=list)

    def add(self, longest: int, rows: int = 1) -> None:
        """Counts an example."""
        self.examples += 1
        self.longest = max(self.longest, longest)
        self.rows = max(self.rows, rows)
        number = bucket(longest)
        self.buckets += [0] * (number + 1 - len(self.buckets))
        self.buckets[number] += 1

    def check_left_out(self, name: str, max_length: int) -> None:
        """Prints the number of rows left out of the training data.

        Args:
            name: Noun for the rows, and reasons to leave them out other than their length.
            max_length: Maximum number of tokens of a row.

        Raises:
            UserError: If all rows are left out.
        """
        too_long = f"{name} longer than --max_length={max_length} tokens"
        if not self.examples:
            raise UserError(f"All {self.left_out} {too_long}; give a larger one.")
        if self.left_out:
            print(f"{self.left_out} {too_long} and left out.")


class PreparedData(abc.ABC):
    """The data of an application in a run directory, the only part of an application that reads and writes files there.

        vocabulary/              vocabulary or labels, learnt from the training part
        data/                    the training examples in random order
        data/counts.json         their counts
        data/sources.json        sizes and checksums of the user's files that they come from
        data/validation.jsonl    the validation part, the same for all epochs of a run

    Args:
        config: Options of the run.
        run: The run directory.

    Attributes:
        results: Where evaluations write their files.
    """

    # Class of a kept validation example, a named tuple of JSON values; and the name of the file that holds them.
    kept_class: ClassVar[Callable[..., Any]]
    kept_name: ClassVar[str] = "validation.jsonl"
    # Files beside the vocabulary that speak of the run's own examples: a run that starts from this one has others.
    of_examples: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: Any, run: RunDirectory) -> None:
        self.config = config
        self.run = run
        self.results = Results(run.path)

    def prepare(self) -> None:
        """Reads the data once: learns the vocabulary and writes the training examples. If that is done, compares them
        with their checksums."""
        # A run that has begun has data, or has lost it.
        if self.run.has_begun:
            self.run.intact(self.run.vocabulary)
            self.run.intact(self.run.data)
            return
        sources = fingerprints(self._source_paths())
        with replacing(self.run.vocabulary) as folder:
            folder.mkdir()
            examples = self._learn(folder)
            for path in self._initial_vocabulary.glob("*.json") if self._initial_vocabulary else ():
                if path.name not in self.of_examples:
                    shutil.copy(path, folder)
            seal(folder)
        with replacing(self.run.data) as folder:
            folder.mkdir()
            if self.has_validation:
                self._keep(folder / self.kept_name)
            write_json(folder / _COUNTS, dataclasses.asdict(self._write(folder, examples)))
            write_json(folder / _SOURCES, sources)
            seal(folder)

    def changed_source(self) -> str | None:
        """Returns the path of a file that has changed since the data was prepared from it; None if none has."""
        path = self.run.data / _SOURCES
        if not path.exists():
            return None
        return changed_file(read_json(self.run.intact(path), RESTORE), self._source_paths())

    def _source_paths(self) -> Iterator[str]:
        """Yields the user's files and folders that the training and validation parts are read from."""
        for name in ("train_data", "validation_data"):
            if pattern := getattr(self.config, name):
                yield from [pattern] if Path(pattern).exists() else sorted(glob(pattern, recursive=True))

    @property
    @abc.abstractmethod
    def splits(self) -> Splits | TextSplits:
        """The parts of the data set."""

    @property
    @abc.abstractmethod
    def sizes(self) -> Any:
        """Sizes of the model that the data determines, for the application's `build_model` and `phases`."""

    @property
    def has_validation(self) -> bool:
        """Whether the data has a validation part; without one, the weights of the last epoch are the best."""
        return self._keeps_validation if self.run.data.exists() else "validation" in self.splits

    @property
    def _keeps_validation(self) -> bool:
        """Whether the prepared data has a validation part."""
        listed = lists(self.run.data, self.kept_name)
        return (self.run.data / self.kept_name).exists() if listed is None else listed

    @property
    @abc.abstractmethod
    def summary(self) -> str:
        """The training part in a few words: examples, and labels or vocabulary."""

    @property
    def batch_limits(self) -> BatchLimits:
        """The limits of the training batches."""
        return BatchLimits(self.counts.longest, self.config.batch_tokens)

    @property
    def steps(self) -> int:
        """Number of training batches in an epoch."""
        return count_batches(self.counts.buckets, self.batch_limits)

    @property
    def train_examples(self) -> int:
        """Number of training examples in an epoch."""
        return self.counts.examples

    @abc.abstractmethod
    def batches(self, epoch: int, fixed_shapes: bool, loaded: bool = True) -> tf.data.Dataset:
        """Returns the training batches of an epoch, in an order that depends on the seed and the epoch alone.

        An iterator over them can be checkpointed.

        Args:
            epoch: Number of the epoch, counted from 0.
            fixed_shapes: Whether to keep the number of different shapes small, for a compiler.
            loaded: Whether to apply `load`.
        """

    def load(self, batch: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Reads what a batch, or some of its rows, names only by numbers, inside a graph; nothing by default."""
        return batch

    def sequences(self) -> tf.data.Dataset:
        """Returns batches to measure how far gradients could reach, for an objective without a carry.

        By default, the training batches; other ones where training cuts sequences at the truncation.
        """
        return self.batches(0, fixed_shapes=False)

    def examples(self, split: str) -> Iterator[Any]:
        """Returns the examples of a part; the validation part as saved when the data was prepared."""
        kept = self.run.data / self.kept_name
        if split == "validation" and self._keeps_validation:
            return self._kept(self.run.intact(kept))
        return self._read(split)

    @cached_property
    def counts(self) -> Counts:
        """Counts of the training data."""
        path = self.run.data / _COUNTS
        try:
            return Counts(**read_json(self.run.intact(path), RESTORE))
        except TypeError as error:
            raise UserError(f"{path} cannot be used ({error}); {RESTORE}.") from error

    @abc.abstractmethod
    def _learn(self, folder: Path) -> int:
        """Writes the vocabulary of the training part into a folder, and returns the number of its examples."""

    @abc.abstractmethod
    def _encoded(self, counts: Counts) -> Iterator[Encoded]:
        """Yields the training examples as integers, and counts them."""

    def _write(self, folder: Path, examples: int) -> Counts:
        """Writes the training examples into a folder."""
        counts = Counts()
        shards = shards_for(examples, self.config.shuffle_buffer)
        encoded = tracked(self._encoded(counts), "writing the training part", "examples", examples)
        write_shards(encoded, folder, shards, self.config.seed)
        return counts

    def _read(self, split: str) -> Iterator[Any]:
        return self.splits.read(split)

    def _keep(self, path: Path) -> None:
        keep_examples(path, tracked(self._read("validation"), "keeping the validation part", "examples"))

    def _kept(self, path: Path) -> Iterator[Any]:
        return kept_examples(path, self.kept_class)

    def _seed(self, epoch: int) -> int:
        """Returns a seed for an epoch, which no other epoch of this run has, nor any of a run with another seed."""
        return self.config.seed * _SEEDS + epoch

    def _shuffled(
        self,
        epoch: int,
        sequences: Iterable[str],
        scalars: Iterable[str],
        change: Change | None = None,
    ) -> tf.data.Dataset:
        """Returns the training examples in the order of an epoch. Names and change as for `read_shards`."""
        # TensorFlow makes room for all of a buffer at once. A larger one than the data gives the same order.
        buffer = min(self.config.shuffle_buffer, self.counts.examples)
        return read_shards(self.run.data, sequences, scalars, buffer, self._seed(epoch), change)

    @cached_property
    def _initial_run(self) -> RunDirectory | None:
        """The run of this application that this one starts from; None without one."""
        if self.config.initialize_from is None:
            return None
        source = RunDirectory(self.config.initialize_from)
        return source if source.read_config()[0] == self.run.read_config()[0] else None

    @cached_property
    def _initial_vocabulary(self) -> Path | None:
        """The folder with the vocabulary of the run that this one starts from."""
        source = self._initial_run
        return source and source.intact(source.vocabulary)

    @property
    def vocabulary(self) -> dict[str, Any]:
        """The contents of the files of the vocabulary, by name."""
        names = {path.name for path in self.run.vocabulary.glob("*.json")} - self.of_examples
        return {name: self._read_json(name) for name in names}

    @property
    def encoder(self) -> str:
        """A string that differs between runs whose models read different arrays of the same examples."""
        return ""

    def _read_json(self, name: str) -> Any:
        """Reads a JSON file of the vocabulary, written by `_learn`."""
        return read_json(self.run.intact(self.run.vocabulary / name), RESTORE)


def check_vocabulary(codec: Codec, name: str, min_count: int) -> None:
    """Raises UserError if the vocabulary is empty; `name` is the noun for a token in the message."""
    if not codec.vocabulary:
        raise UserError(
            f"No {name} occurs {min_count} times in the training data; give more data or a smaller --min_count."
        )


def learn_codec(
    codec_class: type[AnyCodec], examples: Iterable[Sequence[bytes]], config: Any, name: str = "token"
) -> AnyCodec:
    """Learns a codec from the training part.

    Args:
        codec_class: Class of the codec.
        examples: The texts of each example.
        config: Options with tokenizer, vocabulary_size, min_count and max_length.
        name: Noun for a token, for messages.

    Raises:
        UserError: If the vocabulary is empty.
    """
    read = tracked(examples, "learning the vocabulary", "examples")
    codec = codec_class.learn(
        ([text for example in chunk for text in example] for chunk in chunks(read, _CHUNK)),
        tokenizer=config.tokenizer,
        max_size=config.vocabulary_size,
        min_count=config.min_count,
        max_length=config.max_length,
    )
    check_vocabulary(codec, name, config.min_count)
    return codec


def encode(
    codec: Codec, examples: Iterable[Sequence[bytes]], max_length: int | None = None
) -> Iterator[list[np.ndarray]]:
    """Encodes examples of one text or several, many at a time.

    Args:
        codec: Text to ids.
        examples: The texts of each example.
        max_length: Maximum number of ids of a text instead of the codec's own.

    Yields:
        The ids of each text of an example.
    """
    for chunk in chunks(examples, _CHUNK):
        texts = tf.constant([text for example in chunk for text in example], tf.string)
        rows = iter(codec.encode(texts, max_length=max_length).numpy())
        for example in chunk:
            yield list(islice(rows, len(example)))
