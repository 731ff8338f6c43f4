"""Sentiment analysis as the trainer, the evaluator and the exporter see it."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from ...common.errors import UserError
from ...common.files import replacing, write_json
from ...export.bundle import Bundle
from ...models.sentiment import SentimentClassifier
from ...models.text import WordCodec
from ..datasets.batching import batch_by_tokens, windows
from ..datasets.shards import read_shards, shards_for, write_shards
from ..datasets.splits import Splits, keep_examples, kept_examples
from ..task import Evaluation, Task, Truncation
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from .config import SentimentConfig
from .data import Example, read_splits
from .evaluation import evaluate
from .signatures import bundle

# Texts that go through the graph at a time while the data is prepared.
_WINDOW = 1024
# The validation part, a JSON line for each example: what a run is judged by does not change while it trains.
_VALIDATION = "validation.jsonl"


class Classification(Objective):
    """The cross-entropy of the labels."""

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        logits = model(batch["ids"], training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits)
        loss = Loss(
            total=tf.reduce_sum(losses),
            weight=tf.cast(tf.size(losses), tf.float32),
            tokens=tf.reduce_sum(tf.cast(batch["ids"] > 0, tf.float32)),
        )
        return loss, carry


class SentimentTask(Task):
    """Text in, label out."""

    metrics: ClassVar[dict[str, str]] = {"loss": "min", "accuracy": "max", "f1": "max"}
    config: SentimentConfig

    def prepare(self) -> None:
        if self.run.data.exists():
            return
        config = self.config
        labels: Counter[str] = Counter()

        def texts() -> Iterator[list[bytes]]:
            for window in windows(self.splits.read("train"), _WINDOW):
                labels.update(example.label for example in window)
                yield [example.text_bytes for example in window]

        encoder = WordCodec.learn(
            texts(),
            tokenizer=config.tokenizer,
            max_size=config.vocabulary_size,
            min_count=config.min_count,
            max_length=config.max_length,
        )
        if len(labels) < 2:
            raise UserError(
                f"The training data has only the label {next(iter(labels), None)!r}; a classifier needs two at least."
            )
        for label in labels:
            if not label.isprintable() or not label.strip():
                raise UserError(
                    f"The training data has the label {label!r}; labels are printable text in UTF-8. Mend the column "
                    f"{config.label_column!r}, or choose another by --label_column."
                )
        if not encoder.vocabulary:
            raise UserError(
                f"No token occurs {config.min_count} times in the training data; give more data "
                "or a smaller --min_count."
            )
        with replacing(self.run.vocabulary) as folder:
            folder.mkdir()
            write_json(folder / "text.json", encoder.get_config())
            write_json(folder / "labels.json", sorted(labels))
            write_json(folder / "counts.json", labels)
        with replacing(self.run.data) as folder:
            folder.mkdir()
            if self.has_validation:
                keep_examples(folder / _VALIDATION, (example for example, _ in self._labelled("validation")))
            shards = shards_for(labels.total(), config.shuffle_buffer)
            write_shards(self._encoded("train"), folder, shards, config.seed)

    @property
    def train_examples(self) -> int:
        return sum(json.loads((self.run.vocabulary / "counts.json").read_text(encoding="utf-8")).values())

    def build_model(self) -> keras.Model:
        config = self.config
        model = SentimentClassifier(
            len(self.encoder),
            len(self.labels),
            cell=config.cell,
            layers=config.layers,
            units=config.units,
            embedding_size=config.embedding_size,
            bidirectional=config.bidirectional,
            pooling=config.pooling,
            word_dropout=config.word_dropout,
            dropout=config.dropout,
            recurrent_dropout=config.recurrent_dropout,
            truncate_gradient=config.truncate_gradient,
            seed=config.seed,
        )
        model(tf.ones([1, 1], tf.int32))
        return model

    def batches(self, epoch: int, fixed_shapes: bool) -> tf.data.Dataset:
        config = self.config
        seed = config.seed * 1_000_003 + epoch
        examples = read_shards(self.run.data, ["ids"], ["label"], config.shuffle_buffer, seed)
        return batch_by_tokens(
            examples,
            lambda example: tf.size(example["ids"]),
            config.max_length,
            config.batch_tokens,
            fixed_shapes,
        )

    @property
    def truncation(self) -> Truncation:
        return Truncation("truncate_gradient", self.config.truncate_gradient)

    def phases(self) -> list[Phase]:
        return [phase(self.config, Classification())]

    def evaluate(self, model: keras.Model, split: str) -> Evaluation:
        return evaluate(model, self._labelled(split), self.encoder, self.labels, self.config.batch_tokens)

    def bundle(self, model: keras.Model) -> Bundle:
        return bundle(model, self.encoder, self.labels)

    @cached_property
    def encoder(self) -> WordCodec:
        """The text pipeline of the run."""
        return WordCodec.from_config(
            json.loads((self.run.vocabulary / "text.json").read_text(encoding="utf-8"))
        )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the classes."""
        return tuple(json.loads((self.run.vocabulary / "labels.json").read_text(encoding="utf-8")))

    @cached_property
    def splits(self) -> Splits:
        """The parts of the data set."""
        return read_splits(self.config)

    def _examples(self, split: str) -> Iterator[Example]:
        kept = self.run.data / _VALIDATION
        if split == "validation" and kept.exists():
            return kept_examples(kept, Example)
        return self.splits.read(split)

    def _labelled(self, split: str) -> Iterator[tuple[Example, int]]:
        """Each example with the number of its class."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        for example in self._examples(split):
            if example.label not in numbers:
                raise UserError(
                    f"The {split} data has the label {example.label!r}, which the training data has not; its labels "
                    f"are {', '.join(map(repr, self.labels))}. Text: {example.text[:60]!r}."
                )
            yield example, numbers[example.label]

    def _encoded(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """Each example as ids and class, for the shards."""
        for window in windows(self._labelled(split), _WINDOW):
            ids = self.encoder.encode(tf.constant([example.text_bytes for example, _ in window]))
            values, splits = ids.values.numpy(), ids.row_splits.numpy()
            for row, (_, number) in enumerate(window):
                yield {"ids": values[splits[row] : splits[row + 1]], "label": np.array([number])}


TASK = SentimentTask
