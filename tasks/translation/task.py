"""Translation as the trainer, the evaluator and the exporter see it."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from ...common.errors import UserError
from ...common.files import replacing, write_json
from ...export.bundle import Bundle
from ...models.decoding import Beams
from ...models.text import END, PADDING, START, SubwordCodec
from ...models.translation import TranslationModel
from ...models.writing.losses import smoothed_cross_entropy
from ..datasets.batching import batch_by_tokens, windows
from ..datasets.shards import read_shards, shards_for, write_shards
from ..datasets.splits import Splits, keep_examples, kept_examples
from ..decoding import beams_of, writer_options
from ..task import Evaluation, Task, Truncation
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from .config import TranslationConfig
from .data import Pair, read_splits
from .evaluation import evaluate
from .signatures import bundle

# Pairs that go through the graph at a time while the data is prepared.
_WINDOW = 1024
# The validation part, a JSON line for each pair: what a run is judged by does not change while it trains.
_VALIDATION = "validation.jsonl"


class TranslationObjective(Objective):
    """The cross-entropy of the target's tokens.

    Args:
        label_smoothing: Share of the probability that is to go to all tokens alike.
    """

    def __init__(self, label_smoothing: float) -> None:
        self._label_smoothing = label_smoothing

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        inputs, targets = batch["target"][:, :-1], batch["target"][:, 1:]
        outputs = model(batch["source"], inputs, training=training)
        # Logits for real tokens alone: they are the largest part of the work.
        real = targets != PADDING
        logits = model.logits(tf.boolean_mask(outputs, real))
        losses = smoothed_cross_entropy(logits, tf.boolean_mask(targets, real), self._label_smoothing)
        weight = tf.cast(tf.size(losses), tf.float32)
        return Loss(tf.reduce_sum(losses), weight, tokens=weight), carry


class TranslationTask(Task):
    """A sentence in, a sentence out."""

    metrics: ClassVar[dict[str, str]] = {"loss": "min", "perplexity": "min", "bleu": "max", "chrf": "max"}
    config: TranslationConfig

    def prepare(self) -> None:
        if self.run.data.exists():
            return
        config = self.config
        source, target = self._learn_vocabularies()
        self._tell_sizes(source, target)
        longest, kept, dropped = 0, 0, 0
        with replacing(self.run.vocabulary) as folder:
            folder.mkdir()
            write_json(folder / "source.json", source.get_config())
            write_json(folder / "target.json", target.get_config())
        for example in self._encoded("train"):
            length = max(len(ids) for ids in example.values())
            longest, kept, dropped = max(longest, length), kept + (length > 0), dropped + (length == 0)
        if not kept:
            raise UserError(
                f"All {dropped} pairs are empty or longer than --max_length={config.max_length}; give a larger one."
            )
        write_json(
            self.run.vocabulary / "pairs.json", {"pairs": kept, "too_long": dropped, "longest": longest}
        )
        with replacing(self.run.data) as folder:
            folder.mkdir()
            if self.has_validation:
                keep_examples(folder / _VALIDATION, self.splits.read("validation"))
            examples = (example for example in self._encoded("train") if len(example["source"]))
            write_shards(examples, folder, shards_for(kept, config.shuffle_buffer), config.seed)
        if dropped:
            print(
                f"{dropped} of {kept + dropped} pairs are empty or longer than --max_length={config.max_length} and "
                "left out."
            )

    @property
    def train_examples(self) -> int:
        return self._pairs["pairs"]

    def build_model(self) -> keras.Model:
        config = self.config
        model = TranslationModel(
            len(self.source_encoder),
            len(self.target_encoder),
            bidirectional=config.bidirectional,
            bridge=config.bridge,
            share_embeddings=config.joint_vocabulary and config.tie_embeddings,
            **writer_options(config),
        )
        ids = tf.ones([1, 1], tf.int32)
        model(ids, ids)
        return model

    def batches(self, epoch: int, fixed_shapes: bool) -> tf.data.Dataset:
        config = self.config
        seed = config.seed * 1_000_003 + epoch
        examples = read_shards(self.run.data, ["source", "target"], [], config.shuffle_buffer, seed)
        return batch_by_tokens(
            examples,
            lambda example: tf.maximum(tf.size(example["source"]), tf.size(example["target"])),
            self._pairs["longest"],
            config.batch_tokens,
            fixed_shapes,
        )

    @property
    def truncation(self) -> Truncation:
        return Truncation("truncate_gradient", self.config.truncate_gradient)

    def phases(self) -> list[Phase]:
        return [phase(self.config, TranslationObjective(self.config.label_smoothing))]

    def evaluate(self, model: keras.Model, split: str) -> Evaluation:
        return self._evaluate(model, split, Beams(1))

    def report(self, model: keras.Model, split: str) -> Evaluation:
        return self._evaluate(model, split, self.beams)

    def bundle(self, model: keras.Model) -> Bundle:
        beams, longest = self.beams, self.config.max_decode_length
        return bundle(model, self.source_encoder, self.target_encoder, beams, longest)

    @property
    def beams(self) -> Beams:
        """How translations are searched."""
        return beams_of(self.config, len(self.target_encoder))

    @cached_property
    def source_encoder(self) -> SubwordCodec:
        """The tokens of the source language."""
        return self._encoder("source", self.config.max_length)

    @cached_property
    def target_encoder(self) -> SubwordCodec:
        """The tokens of the target language; it reads all that may be written."""
        return self._encoder("target", max(self.config.max_length, self.config.max_decode_length))

    @cached_property
    def splits(self) -> Splits:
        """The parts of the data set."""
        return read_splits(self.config)

    @cached_property
    def _pairs(self) -> dict[str, int]:
        return json.loads((self.run.vocabulary / "pairs.json").read_text(encoding="utf-8"))

    def _encoder(self, side: str, max_length: int) -> SubwordCodec:
        config = json.loads((self.run.vocabulary / f"{side}.json").read_text(encoding="utf-8"))
        return SubwordCodec.from_config(config | {"max_length": max_length})

    def _evaluate(self, model: keras.Model, split: str, beams: Beams) -> Evaluation:
        config = self.config
        return evaluate(
            model,
            self._examples(split),
            self.source_encoder,
            self.target_encoder,
            beams,
            config.max_decode_length,
            config.batch_tokens,
            self.run.path / f"translations-{split}.tsv",
        )

    def _learn_vocabularies(self) -> tuple[SubwordCodec, SubwordCodec]:
        config = self.config

        def learn(sides: tuple[int, ...]) -> SubwordCodec:
            batches = (
                [pair.in_bytes[side] for pair in window for side in sides]
                for window in windows(self.splits.read("train"), _WINDOW)
            )
            return SubwordCodec.learn(
                batches,
                tokenizer=config.tokenizer,
                max_size=config.vocabulary_size,
                min_count=config.min_count,
                max_length=config.max_length,
            )

        if config.joint_vocabulary:
            joint = learn((0, 1))
            return joint, joint
        return learn((0,)), learn((1,))

    def _tell_sizes(self, source: SubwordCodec, target: SubwordCodec) -> None:
        """Prints the sizes of the vocabularies.

        Raises:
            UserError: if one is empty.
        """
        config = self.config
        for language, encoder in ((config.source_language, source), (config.target_language, target)):
            if not encoder.vocabulary:
                raise UserError(
                    f"No token of {language!r} occurs {config.min_count} times in the training data; give a smaller "
                    "--min_count, or more data."
                )
            fewer = f"; the data has no more of the {config.vocabulary_size} that --vocabulary_size allows"
            print(
                f"Vocabulary of {language}: {len(encoder)} tokens"
                f"{fewer if len(encoder) < config.vocabulary_size else ''}."
            )

    def _examples(self, split: str) -> Iterator[Pair]:
        kept = self.run.data / _VALIDATION
        if split == "validation" and kept.exists():
            return kept_examples(kept, Pair)
        return self.splits.read(split)

    def _encoded(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """Each pair as ids, the target between start and end; both empty where one is too long to be trained on."""
        longest = self.config.max_length
        # One token more than allowed, so that a text that is too long shows.
        encoders = [self._encoder(side, longest + 1) for side in ("source", "target")]
        for window in windows(self._examples(split), _WINDOW):
            sides = zip(*(pair.in_bytes for pair in window), strict=True)
            ids = [e.encode(tf.constant(texts)) for e, texts in zip(encoders, sides, strict=True)]
            for source, target in zip(*(ragged.numpy() for ragged in ids), strict=True):
                if max(len(source), len(target)) > longest or not len(source):
                    yield {"source": np.zeros(0, np.int32), "target": np.zeros(0, np.int32)}
                else:
                    yield {"source": source, "target": np.concatenate([[START], target, [END]])}


TASK = TranslationTask
