"""The data of translation: sentence pairs."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import tee, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ...common.counts import counted
from ...common.errors import UserError
from ...common.files import write_json
from ...models.text import END, PADDING, START, SubwordCodec, with_start_and_end
from ..data import Counts, Encoded, PreparedData, encode, learn_codec
from ..datasets import public
from ..datasets.batching import BatchLimits, batch_by_tokens
from ..datasets.shards import Change, Examples, read_shards
from ..datasets.sources import readers
from ..datasets.splits import Splits
from ..datasets.tables import has_columns, read_tabbed, read_table
from ..datasets.text_files import read_lines
from .config import TranslationConfig


class Pair(NamedTuple):
    """A sentence and its translation; in a public set, surrogate escapes stand for bytes that are not UTF-8."""

    source: str
    target: str

    @property
    def in_bytes(self) -> tuple[bytes, bytes]:
        """Both sentences as in their files."""
        return self.source.encode("utf-8", "surrogateescape"), self.target.encode("utf-8", "surrogateescape")


class TranslationSizes(NamedTuple):
    """The sizes of a translation model that its data determines.

    Attributes:
        source_tokens: Number of ids of the source language.
        target_tokens: Number of ids of the target language.
    """

    source_tokens: int
    target_tokens: int


class TranslationData(PreparedData):
    """Sentence pairs, in a run directory."""

    config: TranslationConfig
    kept_class = Pair

    @cached_property
    def splits(self) -> Splits:
        return read_splits(self.config)

    @property
    def sizes(self) -> TranslationSizes:
        return TranslationSizes(len(self.source_codec), len(self.target_codec))

    @property
    def summary(self) -> str:
        source, target = self.config.source_language, self.config.target_language
        return (
            f"{self.train_examples:,} pairs, vocabularies of {self.sizes.source_tokens:,} ({source}) and "
            f"{self.sizes.target_tokens:,} ({target}) tokens"
        )

    @property
    def batch_limits(self) -> BatchLimits:
        config = self.config
        if config.segmentation_dropout or config.both_directions:
            # Pairs of another segmentation or direction may be longer; a target has a start and an end.
            return BatchLimits(config.max_length + 2, config.batch_tokens)
        return super().batch_limits

    def batches(self, epoch: int, fixed_shapes: bool, loaded: bool = True) -> tf.data.Dataset:
        return self._batched(epoch, fixed_shapes, self._change(epoch))

    def sequences(self) -> tf.data.Dataset:
        """Returns batches of the training pairs in the wanted direction, with the codecs' own segmentation."""
        return self._batched(0, fixed_shapes=False)

    def _batched(self, epoch: int, fixed_shapes: bool, change: Change | None = None) -> tf.data.Dataset:
        return batch_by_tokens(
            self._shuffled(epoch, ["source", "target"], [], change),
            lambda example: tf.maximum(tf.size(example["source"]), tf.size(example["target"])),
            self.batch_limits,
            fixed_shapes,
        )

    def _change(self, epoch: int) -> Change | None:
        """Returns what training changes in the pairs of an epoch; None for nothing."""
        config = self.config
        turns = config.joint_vocabulary and epoch < config.both_directions
        # Rewards compare the tokens of texts.
        is_rewarded = epoch >= config.epochs - config.rewarded_epochs
        dropout = 0.0 if is_rewarded else config.segmentation_dropout
        if not turns and not dropout:
            return None

        def change(pairs: Examples, numbers: tf.Tensor) -> Examples:
            texts = (pairs["source"], pairs["target"][:, 1:-1])
            if turns:
                texts = turned(*texts, (numbers + epoch) % 2 == 1)
            seed = tf.stack([self._seed(epoch), numbers[0]])
            source, target = (
                codec.resegment(ids, dropout, tf.random.fold_in(seed, side), config.max_length)
                for side, (codec, ids) in enumerate(
                    zip((self.source_codec, self.target_codec), texts, strict=True)
                )
            )
            edged = tf.RaggedTensor.from_tensor(with_start_and_end(target), padding=PADDING)
            return {"source": source, "target": edged}

        return change

    @property
    def reference_tokens(self) -> int:
        """Number of ids of the targets."""
        return len(self.target_codec)

    def references(self) -> Iterator[list[np.ndarray]]:
        """Yields the target of each training pair as ids, without start and end."""
        examples = read_shards(self.run.intact(self.run.data), ["target"], [], 1, 0)
        return ([example["target"][1:-1]] for example in examples.as_numpy_iterator())

    @cached_property
    def source_codec(self) -> SubwordCodec:
        """The codec of the source language."""
        return self._codec("source", self.config.max_length)

    @cached_property
    def target_codec(self) -> SubwordCodec:
        """The codec of the target language; its limit fits all translations that the model can write."""
        return self._codec("target", max(self.config.max_length, self.config.max_decode_length))

    def _codec(self, side: str, max_length: int) -> SubwordCodec:
        return SubwordCodec.from_config(self._read_json(f"{side}.json") | {"max_length": max_length})

    def _source_paths(self) -> Iterator[str]:
        yield from super()._source_paths()
        languages = (self.config.source_language, self.config.target_language)
        for path in filter(None, (self.config.train_data, self.config.validation_data)):
            yield from _parallel_files(path, languages) or []

    def _learn(self, folder: Path) -> int:
        config, pairs = self.config, 0

        def texts(sides: tuple[int, ...]) -> Iterator[list[bytes]]:
            nonlocal pairs
            pairs = 0
            for pair in self.splits.read("train"):
                pairs += 1
                yield [pair.in_bytes[side] for side in sides]

        def learn(language: str, *sides: int) -> SubwordCodec:
            return learn_codec(SubwordCodec, texts(sides), config, f"token of {language!r}")

        languages = (config.source_language, config.target_language)
        if config.joint_vocabulary:
            source = target = learn(languages[0], 0, 1)
        else:
            source, target = learn(languages[0], 0), learn(languages[1], 1)
        for language, codec in zip(languages, (source, target), strict=True):
            fewer = f"; the data has no more of the {config.vocabulary_size} that --vocabulary_size allows"
            print(
                f"Vocabulary of {language}: {len(codec)} tokens"
                f"{fewer if len(codec) < config.vocabulary_size else ''}."
            )
        write_json(folder / "source.json", source.get_config())
        write_json(folder / "target.json", target.get_config())
        return pairs

    def _encoded(self, counts: Counts) -> Iterator[Encoded]:
        longest = self.config.max_length
        pairs, again = tee(self.examples("train"))
        # One token more than allowed, to detect sentences that are too long.
        sources = encode(self.source_codec, ([pair.in_bytes[0]] for pair in pairs), longest + 1)
        targets = encode(self.target_codec, ([pair.in_bytes[1]] for pair in again), longest + 1)
        for (source,), (target,) in zip(sources, targets, strict=True):
            if max(len(source), len(target)) > longest or not len(source):
                counts.left_out += 1
                continue
            target = np.concatenate([[START], target, [END]])
            counts.add(max(len(source), len(target)))
            yield {"source": source, "target": target}

    def _write(self, folder: Path, examples: int) -> Counts:
        config = self.config
        # A run that starts from another one has the vocabularies of that run.
        if config.both_directions and self.source_codec.vocabulary != self.target_codec.vocabulary:
            raise UserError(
                f"--both_directions={config.both_directions} needs one vocabulary for both languages, but the run of "
                f"--initialize_from={config.initialize_from} has two; leave one of the two flags out."
            )
        counts = super()._write(folder, examples)
        counts.check_left_out("pairs are empty or", self.config.max_length)
        return counts


def turned(
    sources: tf.RaggedTensor, targets: tf.RaggedTensor, turn: tf.Tensor
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Exchanges source and target of some pairs, for bidirectional training (Ding, Wu and Tao, 2021,
    https://arxiv.org/abs/2109.07780). Pairs with an empty target stay as they are: a source has a token.

    Args:
        sources, targets: int32 [pairs, (time)], without start and end.
        turn: Which pairs to turn, bool [pairs].

    Returns:
        Sources and targets, int32 [pairs, (time)].
    """
    turn &= targets.row_lengths() > 0
    texts, rows = tf.concat([sources, targets], axis=0), tf.range(sources.nrows())
    others = rows + sources.nrows()
    return tf.gather(texts, tf.where(turn, others, rows)), tf.gather(texts, tf.where(turn, rows, others))


def read_splits(config: TranslationConfig) -> Splits:
    """Returns the parts of the data set that the options name."""
    languages = (config.source_language, config.target_language)

    def from_file(path: str) -> Iterator[Pair]:
        return read_pairs(path, *languages)

    def from_public(name: str, split: str) -> Iterator[Pair]:
        return _pairs(public.read_features(name, split, languages, "--source_language and --target_language"))

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return Splits(readers(config, from_file, from_public), fractions)


def read_pairs(path: str, source_language: str, target_language: str) -> Iterator[Pair]:
    """Yields the sentence pairs of files.

    Args:
        path: Prefix of two files PREFIX.SOURCE and PREFIX.TARGET, either of which may be a .gz file, or the name of one
            of the two; or a file with both languages: a table with a column for each, or lines with a tab between a
            sentence and its translation.
        source_language, target_language: The languages, as file extensions or names of columns.

    Raises:
        UserError: If a file is missing or cannot be read, a sentence is empty, or two files differ in length.
    """
    languages = (source_language, target_language)
    if names := _parallel_files(path, languages):
        return _read_parallel(names)
    if not Path(path).is_file():
        missing = next(language for language in languages if not _file(path, language))
        raise UserError(
            f"There is neither {path}.{missing} nor {path}.{missing}.gz; give the common prefix of the two names, and "
            "choose the languages with --source_language and --target_language, or give one file with a tab between a "
            "sentence and its translation."
        )
    if has_columns(path, languages):
        flags = "--source_language and --target_language"
        return _pairs(read_table(path, languages, filled=languages, chosen_by=flags))
    return _read_tabbed(path, languages)


def _parallel_files(path: str, languages: tuple[str, str]) -> list[str] | None:
    """Returns the two files of a prefix, or of the name of one of them; None if they do not exist."""
    ends = [f".{language}{gz}" for language in languages for gz in ("", ".gz")]
    prefixes = [path, *(path.removesuffix(end) for end in ends if path.endswith(end))]
    for prefix in prefixes:
        names = [_file(prefix, language) for language in languages]
        if all(names):
            return [name for name in names if name]
    return None


def _read_tabbed(path: str, languages: tuple[str, str]) -> Iterator[Pair]:
    """Yields the pairs of a file with a tab between a sentence and its translation; a third field is passed over, in
    which some collections name the author."""
    expected = (
        f"a sentence, a tab and its translation were expected, or a table with the columns {languages[0]!r} and "
        f"{languages[1]!r}, or two files, one for each language"
    )
    empty = True
    for position, fields in read_tabbed(
        path, "a text file with a tab between a sentence and its translation"
    ):
        if not 2 <= len(fields) <= 3 or (empty and len(fields) == 3 and fields[0].isdecimal()):
            raise UserError(
                f"{position} has {counted(len(fields), 'field')}, such as {fields[0][:40]!r}; {expected}."
            )
        source, target = fields[:2]
        if not source.strip() or not target.strip():
            raise UserError(f"{position} lacks a sentence; write it, or remove the line.")
        empty = False
        yield Pair(source, target)
    if empty:
        raise UserError(f"{path} is empty; {expected}.")


def _read_parallel(names: Sequence[str]) -> Iterator[Pair]:
    """Yields the lines of two files as pairs."""
    lines = zip_longest(*(read_lines(name, "a text file with a sentence on each line") for name in names))
    number = 0
    for number, pair in enumerate(lines, start=1):
        for name, line in zip(names, pair, strict=True):
            if line is None:
                other = names[1 - names.index(name)]
                raise UserError(
                    f"{name} has {number - 1} lines, but {other} has more; each sentence needs a line in both."
                )
            if not line.strip():
                raise UserError(
                    f"{name}, line {number} is empty; write the sentence, or remove the line from both files."
                )
        yield Pair(*pair)
    if not number:
        raise UserError(f"{names[0]} and {names[1]} are empty; give at least one pair of sentences.")


def _pairs(rows: Iterable[tuple[str, ...]]) -> Iterator[Pair]:
    return (Pair(str(source), str(target)) for source, target in rows)


def _file(prefix: str, language: str) -> str | None:
    names = (f"{prefix}.{language}", f"{prefix}.{language}.gz")
    return next((name for name in names if Path(name).is_file()), None)
