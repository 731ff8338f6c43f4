"""Character language modelling as the trainer, the evaluator and the exporter see it."""

import glob
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from ...common.errors import UserError
from ...common.files import replacing, write_json
from ...export.bundle import Bundle
from ...models.language_model import LanguageModel
from ...models.text import BOUNDARY, CharacterCodec
from ..datasets.batching import batch_by_tokens
from ..datasets.documents import Document, TextSplits, read_files
from ..datasets.lanes import Lanes, cut_windows, windows_of
from ..datasets.shards import read_shards, shards_for, write_shards
from ..task import Evaluation, Task, Truncation
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from .config import LanguageModelingConfig
from .data import read_splits
from .evaluation import Measured, evaluation_of, measure, measure_ngrams
from .kneser_ney import KneserNey
from .signatures import bundle

# Below data/. The validation part is kept, a file for each document: what a run is judged by does not change.
_VALIDATION = "validation"
_LANES = "lanes.bin"
_CODE_POINTS = 0x110000
# Characters of a sequence in which it is measured how far gradients reach.
_INSPECTED = 512


class NextCharacter(Objective):
    """The cross-entropy of each next character.

    Args:
        lanes: Number of lanes, whose states are carried from batch to batch; None: documents are read whole.
    """

    def __init__(self, lanes: int | None) -> None:
        self._lanes = lanes

    def initial_carry(self, model: keras.Model) -> Any:
        return () if self._lanes is None else model.recurrent.get_initial_state(self._lanes)

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        inputs, targets = batch["ids"][:, :-1], batch["ids"][:, 1:]
        states = None
        if carry:
            goes_on = ~batch["reset"][:, None]
            states = tf.nest.map_structure(lambda s: tf.where(goes_on, s, tf.zeros_like(s)), carry)
        logits, states = model(inputs, states=states, training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        real = tf.sequence_mask(batch["length"], tf.shape(losses)[1])
        weight = tf.cast(tf.reduce_sum(batch["length"]), tf.float32)
        total = tf.reduce_sum(tf.where(real, losses, tf.zeros_like(losses)))
        return Loss(total, weight, tokens=weight), states if carry else ()


class LanguageModelingTask(Task):
    """A text in, the distribution of its next character out."""

    metrics: ClassVar[dict[str, str]] = {"loss": "min", "bits_per_character": "min", "perplexity": "min"}
    config: LanguageModelingConfig

    def prepare(self) -> None:
        if self.run.data.exists():
            return
        config = self.config
        counts = np.zeros(_CODE_POINTS, np.int64)
        lengths = {"documents": 0, "characters": 0, "longest": 0, "windows": 0}
        for document in self.splits.read("train"):
            characters = 0
            for piece in document.pieces():
                found = np.bincount(piece)
                counts[: len(found)] += found
                characters += len(piece)
            lengths["documents"] += 1
            lengths["characters"] += characters
            lengths["longest"] = max(lengths["longest"], characters)
            lengths["windows"] += windows_of(characters, config.truncation) if config.truncation else 0
        occurrences = {chr(number): int(counts[number]) for number in np.flatnonzero(counts)}
        encoder = CharacterCodec.from_counts(
            occurrences, tokenizer=config.tokenizer, min_count=config.min_count
        )
        if not encoder.vocabulary:
            raise UserError(
                f"No character occurs {config.min_count} times in the training text; give more text or a smaller "
                "--min_count."
            )
        with replacing(self.run.vocabulary) as folder:
            folder.mkdir()
            write_json(folder / "text.json", encoder.get_config())
            write_json(folder / "lengths.json", lengths)
        with replacing(self.run.data) as folder:
            (folder / _VALIDATION).mkdir(parents=True)
            if self.has_validation:
                for number, document in enumerate(self.splits.read("validation")):
                    document.write(folder / _VALIDATION / f"{number:08d}.txt")
            if config.truncation:
                documents = self._encoded(self.splits.read("train"))
                windows = (w for document in documents for w in cut_windows(document, config.truncation))
                self._lanes(folder / _LANES).write(windows)
            else:
                shards = shards_for(lengths["documents"], config.shuffle_buffer)
                write_shards(self._whole_documents(), folder, shards, config.seed)

    @property
    def train_examples(self) -> int:
        if not self.config.truncation:
            return self.lengths["documents"]
        lanes = self._lanes()
        return lanes.lanes * lanes.batches

    def build_model(self) -> keras.Model:
        config = self.config
        model = LanguageModel(
            len(self.encoder),
            cell=config.cell,
            layers=config.layers,
            units=config.units,
            embedding_size=config.embedding_size,
            tie_embeddings=config.tie_embeddings,
            dropout=config.dropout,
            recurrent_dropout=config.recurrent_dropout,
            seed=config.seed,
        )
        model(tf.ones([1, 1], tf.int32))
        return model

    def batches(self, epoch: int, fixed_shapes: bool) -> tf.data.Dataset:
        config = self.config
        if config.truncation:
            return self._lanes().read()
        seed = config.seed * 1_000_003 + epoch
        examples = read_shards(self.run.data, ["ids"], ["length"], config.shuffle_buffer, seed)
        # With both boundaries; a document is never cut, so that a long one makes a batch by itself.
        longest = self.lengths["longest"] + 2
        return batch_by_tokens(
            examples, lambda example: tf.size(example["ids"]), longest, config.batch_tokens, fixed_shapes
        )

    def sequences(self) -> tf.data.Dataset:
        if not self.config.truncation:
            return super().sequences()
        return self._lanes().read_joined(_INSPECTED)

    @property
    def truncation(self) -> Truncation:
        return Truncation("truncation", self.config.truncation or None)

    def phases(self) -> list[Phase]:
        lanes = self._lanes().lanes if self.config.truncation else None
        return [phase(self.config, NextCharacter(lanes))]

    def evaluate(self, model: keras.Model, split: str) -> Evaluation:
        return evaluation_of(self._measure(model, split))

    def report(self, model: keras.Model, split: str) -> Evaluation:
        """`evaluate`, and a Kneser-Ney table of the training text beside it."""
        measured, order = self._measure(model, split), self.config.ngram_order
        if not order:
            return evaluation_of(measured)
        table = KneserNey.learn(self._encoded(self.splits.read("train")), order, len(self.encoder))
        return evaluation_of(measured, measure_ngrams(table, self._encoded(self._documents(split))))

    def bundle(self, model: keras.Model) -> Bundle:
        return bundle(model, self.encoder)

    @cached_property
    def encoder(self) -> CharacterCodec:
        """The characters of the run."""
        return CharacterCodec.from_config(
            json.loads((self.run.vocabulary / "text.json").read_text(encoding="utf-8"))
        )

    @cached_property
    def lengths(self) -> dict[str, int]:
        """What there is to train on: `documents`, `characters`, `longest` document, `windows`."""
        return json.loads((self.run.vocabulary / "lengths.json").read_text(encoding="utf-8"))

    @cached_property
    def splits(self) -> TextSplits:
        """The parts of the text."""
        return read_splits(self.config)

    def _measure(self, model: keras.Model, split: str) -> Measured:
        return measure(model, self._encoded(self._documents(split)))

    def _documents(self, split: str) -> Iterator[Document]:
        stored = self.run.data / _VALIDATION
        if split == "validation" and stored.is_dir() and any(stored.iterdir()):
            return read_files(f"{glob.escape(str(stored))}/*.txt", self.config.tokenizer)
        return self.splits.read(split)

    def _encoded(self, documents: Iterable[Document]) -> Iterator[Iterator[np.ndarray]]:
        """The pieces of each document as ids."""
        for document in documents:
            yield (self.encoder.encode_symbols(piece) for piece in document.pieces())

    def _whole_documents(self) -> Iterator[dict[str, np.ndarray]]:
        """Each training document with its boundaries, for the shards; it is held in memory."""
        boundary = np.full(1, BOUNDARY, np.int32)
        for pieces in self._encoded(self.splits.read("train")):
            ids = np.concatenate([boundary, *pieces, boundary])
            yield {"ids": ids, "length": np.array([len(ids) - 1])}

    def _lanes(self, path: Any = None) -> Lanes:
        config = self.config
        return Lanes(path or self.run.data / _LANES, config.truncation, config.batch, self.lengths["windows"])


TASK = LanguageModelingTask
