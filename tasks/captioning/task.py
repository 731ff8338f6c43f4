"""Captioning as the trainer, the evaluator and the exporter see it."""

import json
from collections.abc import Iterator
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from ...common.errors import UserError
from ...common.files import replacing, write_json
from ...export.bundle import Bundle
from ...models.captioning import CaptioningModel
from ...models.decoding import Beams
from ...models.text import END, PADDING, START, SubwordCodec
from ...models.writing.losses import smoothed_cross_entropy
from ...models.writing.rewards import rewarded, sentence_bleu
from ..datasets.batching import batch_by_tokens, windows
from ..datasets.feature_cache import CacheKey, FeatureCache, Image
from ..datasets.shards import read_shards, shards_for, write_shards
from ..datasets.splits import Splits, keep_examples, kept_examples
from ..decoding import beams_of, writer_options
from ..task import Evaluation, Task, Truncation
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from ..training.schedules import linear_decay
from .config import CaptioningConfig
from .data import mirrored, normalized, read_splits
from .evaluation import Result, caption_all, quality, summary, write_captions
from .image_features import ImageFeatures
from .sheet import write_sheet
from .signatures import bundle

# Captions that go through the graph at a time while the data is prepared.
_WINDOW = 1024
# The captions of the validation part, a JSON line for each image.
_VALIDATION = "validation.jsonl"
_COUNTS = "counts.json"
# Captions of an image that are drawn in a rewarded epoch.
_DRAWN = 5
# Images on the page of `unroll evaluate`.
_ON_SHEET = 100


class CaptionObjective(Objective):
    """The cross-entropy of the captions' tokens.

    Args:
        label_smoothing: Share of the probability that is to go to all tokens alike.
        doubly_stochastic: Weight of the doubly stochastic term of the attention.
    """

    def __init__(self, label_smoothing: float, doubly_stochastic: float) -> None:
        self._label_smoothing = label_smoothing
        self._doubly_stochastic = doubly_stochastic

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        inputs, targets = batch["captions"][..., :-1], batch["captions"][..., 1:]
        outputs, seen = model(batch["images"], inputs, training=training)
        # Logits for real tokens alone: they are the largest part of the work.
        real = targets != PADDING
        logits = model.logits(tf.boolean_mask(outputs, real))
        losses = smoothed_cross_entropy(logits, tf.boolean_mask(targets, real), self._label_smoothing)
        total, weight = tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
        if self._doubly_stochastic:
            total += self._doubly_stochastic * tf.reduce_sum(unseen(seen, real))
        return Loss(total, weight, tokens=weight), carry


class RewardedCaptions(Objective):
    """1 - reward of captions that the model draws itself; its gradient raises the rewards."""

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        captions = batch["captions"]
        drawn = model.draw_captions(batch["images"], _DRAWN, tf.shape(captions)[2] - 1)
        targets = drawn[..., 1:]
        outputs, _ = model(batch["images"], drawn[..., :-1], training=training)
        real = targets != PADDING
        logits = model.logits(tf.boolean_mask(outputs, real))
        losses = smoothed_cross_entropy(logits, tf.boolean_mask(targets, real), 0.0)
        losses = tf.scatter_nd(tf.where(real), losses, tf.shape(real, tf.int64))
        rewards = sentence_bleu(*(tf.where(ids == END, PADDING, ids) for ids in (targets, captions[..., 1:])))
        total = tf.reduce_sum(rewarded(rewards, tf.reduce_sum(losses, axis=2)))
        tokens = tf.math.count_nonzero(real, dtype=tf.float32)
        return Loss(total, tf.cast(tf.size(rewards), tf.float32), tokens), carry


class CaptioningTask(Task):
    """An image in, a sentence out."""

    metrics: ClassVar[dict[str, str]] = {
        "loss": "min",
        "bleu_1": "max",
        "bleu_2": "max",
        "bleu_3": "max",
        "bleu_4": "max",
        "cider": "max",
        "rouge_l": "max",
    }
    config: CaptioningConfig

    def prepare(self) -> None:
        first = not self.run.data.exists()
        if first:
            encoder, keys = self._read_captions()
            with replacing(self.run.vocabulary) as folder:
                folder.mkdir()
                write_json(folder / "captions.json", encoder.get_config())
                write_json(folder / "images.json", keys)
                self.image_features.keep(folder)
        for split, key in self._read_json("images.json").items():
            self._features(split, key, fresh=first)
        if first:
            self._write_examples()

    def build_model(self) -> keras.Model:
        config = self.config
        model = CaptioningModel(
            len(self.encoder),
            self.image_features.features,
            gated=config.gated_context,
            image_as=config.image_as,
            **writer_options(config),
        )
        images = tf.zeros((1, *self.image_features.shape), self.image_features.dtype)
        outputs, _ = model(images, tf.ones([1, 1, 1], tf.int32))
        model.logits(outputs[0, 0])
        return model

    @property
    def train_examples(self) -> int:
        return self._examples["images"]

    def batches(self, epoch: int, fixed_shapes: bool) -> tf.data.Dataset:
        config, most = self.config, self._examples["captions_of_an_image"]
        seed = config.seed * 1_000_003 + epoch

        def captions(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = tf.RaggedTensor.from_row_lengths(example["ids"], example["lengths"])
            shape = [most if fixed_shapes else None, None]
            return {"image": example["image"], "captions": rows.to_tensor(PADDING, shape=shape)}

        def features(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            # By their numbers, after shuffling: neither the buffers nor the checkpoints hold features.
            images = tf.numpy_function(
                self._training_features.take, [batch["image"]], self.image_features.dtype, stateful=False
            )
            return {
                "captions": batch["captions"],
                "images": tf.ensure_shape(images, [None, *self.image_features.shape]),
            }

        examples = read_shards(self.run.data, ["ids", "lengths"], ["image"], config.shuffle_buffer, seed)
        batches = batch_by_tokens(
            examples.map(captions),
            lambda example: tf.shape(example["captions"])[1],
            self._examples["longest"],
            max(1, config.batch_tokens // most),
            fixed_shapes,
        )
        return batches.map(features)

    @property
    def truncation(self) -> Truncation:
        return Truncation("truncate_gradient", self.config.truncate_gradient)

    def phases(self) -> list[Phase]:
        config = self.config
        captions = CaptionObjective(config.label_smoothing, config.doubly_stochastic)
        plain = phase(config, captions, config.epochs - config.rewarded_epochs)
        if not config.rewarded_epochs:
            return [plain]
        decay = partial(linear_decay, config.rewarded_learning_rate)
        # XLA cannot compile the loop that draws texts.
        return [
            plain,
            Phase(config.rewarded_epochs, RewardedCaptions(), decay, resets_moments=True, compilable=False),
        ]

    def evaluate(self, model: keras.Model, split: str) -> Evaluation:
        return Evaluation(quality(self._caption_all(model, split, Beams(1))), {}, "")

    def report(self, model: keras.Model, split: str) -> Evaluation:
        searched = beams_of(self.config, len(self.encoder))
        result = self._caption_all(model, split, searched)
        shown = zip(result.captioned, self.splits.read(split), strict=False)
        write_sheet(
            self.run.path / f"captions-{split}.html",
            f"Captions of the {split} part",
            ((captioned, example.image.read()) for captioned, example in islice(shown, _ON_SHEET)),
        )
        return summary(result, searched, self._seen_in_training)

    def bundle(self, model: keras.Model) -> Bundle:
        beams, longest = beams_of(self.config, len(self.encoder)), self.config.max_decode_length
        return bundle(model, self.image_features, self.encoder, beams, longest)

    @cached_property
    def encoder(self) -> SubwordCodec:
        """The tokens of captions."""
        return SubwordCodec.from_config(self._read_json("captions.json"))

    @cached_property
    def image_features(self) -> ImageFeatures:
        """What the model is given for an image."""
        # Until the data is prepared, the user may choose another encoder.
        return ImageFeatures(self.config, self.run.vocabulary if self.run.data.exists() else None)

    @cached_property
    def splits(self) -> Splits:
        """The parts of the data set."""
        return read_splits(self.config)

    @cached_property
    def _examples(self) -> dict[str, int]:
        """What was counted in the training part."""
        return json.loads((self.run.data / _COUNTS).read_text(encoding="utf-8"))

    def _read_json(self, name: str) -> dict[str, Any]:
        return json.loads((self.run.vocabulary / name).read_text(encoding="utf-8"))

    def _prepared(self, caption: str) -> str:
        """A caption as it is trained on."""
        return normalized(caption) if self.config.normalize_captions else caption

    def _read_captions(self) -> tuple[SubwordCodec, dict[str, str]]:
        """The tokens of the training captions, and the keys of the features of training and validation images."""
        config = self.config
        key = CacheKey(self.image_features.fingerprint)

        def texts() -> Iterator[bytes]:
            for example in self.splits.read("train"):
                for image in self._views("train", example.image):
                    key.add(image)
                for caption in example.captions:
                    yield self._prepared(caption).encode("utf-8", "surrogateescape")

        encoder = SubwordCodec.learn(
            windows(texts(), _WINDOW),
            tokenizer=config.tokenizer,
            max_size=config.vocabulary_size,
            min_count=config.min_count,
            max_length=config.max_length,
        )
        keys = {"train": str(key)}
        if self.has_validation:
            keys["validation"] = self._key("validation")
        return encoder, keys

    def _key(self, split: str) -> str:
        key = CacheKey(self.image_features.fingerprint)
        for example in self.splits.read(split):
            for image in self._views(split, example.image):
                key.add(image)
        return str(key)

    def _views(self, split: str, image: Image) -> list[Image]:
        """What an image of a part is seen as."""
        return [image, mirrored(image)] if split == "train" and self.config.mirror_images else [image]

    @cached_property
    def _training_features(self) -> FeatureCache:
        # One for all epochs: it holds the files open.
        return self._cache(self._read_json("images.json")["train"])

    @property
    def _cache_directory(self) -> Path:
        return Path(self.config.feature_cache or self.run.path / "features")

    def _cache(self, key: str) -> FeatureCache:
        features = self.image_features
        return FeatureCache(self._cache_directory, key, features.shape, features.dtype.as_numpy_dtype)

    def _features(self, split: str, key: str, fresh: bool) -> FeatureCache:
        """The features of a part, encoded where they are missing. `fresh`: the key was made just now."""
        cache = self._cache(key)
        if not cache.complete:
            if not fresh and self._key(split) != key:
                raise UserError(
                    f"The features of the {split} images are not in {self._cache_directory}, and the images are not "
                    "those any more that the run was begun with; train again in another --workdir."
                )
            images = (
                image for example in self.splits.read(split) for image in self._views(split, example.image)
            )
            cache.fill(images, self.image_features.encode, f"{split} images")
        return cache

    def _write_examples(self) -> None:
        """The captions of the training part as ids, image by image, and those of the validation part as they are."""
        config, views = self.config, 2 if self.config.mirror_images else 1
        counts = {"images": 0, "too_long": 0, "longest": 0, "captions_of_an_image": 0}

        def examples() -> Iterator[dict[str, np.ndarray]]:
            for number, rows in enumerate(self._encoded()):
                kept = [row for row in rows if len(row) <= config.max_length]
                counts["too_long"] += len(rows) - len(kept)
                if kept:
                    lengths = [len(row) + 2 for row in kept]
                    counts["longest"] = max(counts["longest"], *lengths)
                    counts["captions_of_an_image"] = max(counts["captions_of_an_image"], len(kept))
                    ids = np.concatenate([edged for row in kept for edged in ([START], row, [END])])
                    for view in range(views):
                        counts["images"] += 1
                        image = np.array(number * views + view)
                        yield {"image": image, "ids": ids, "lengths": np.array(lengths)}

        with replacing(self.run.data) as folder:
            folder.mkdir()
            if self.has_validation:
                validation = self.splits.read("validation")
                keep_examples(folder / _VALIDATION, ((e.image.name, e.captions) for e in validation))
            images = self._training_features.images
            write_shards(examples(), folder, shards_for(images, config.shuffle_buffer), config.seed)
            if not counts["images"]:
                raise UserError(
                    f"All {counts['too_long']} captions are longer than --max_length={config.max_length} tokens; give "
                    "a larger one."
                )
            write_json(folder / _COUNTS, counts)
        if counts["too_long"]:
            print(
                f"{counts['too_long']} captions are longer than --max_length={config.max_length} tokens and left out."
            )

    def _encoded(self) -> Iterator[list[np.ndarray]]:
        """The captions of each training image as ids, one too many where a caption is too long."""
        for window in windows(self.splits.read("train"), _WINDOW):
            texts = [
                self._prepared(text).encode("utf-8", "surrogateescape")
                for example in window
                for text in example.captions
            ]
            ids = self.encoder.encode(tf.constant(texts), max_length=self.config.max_length + 1)
            rows = iter(ids.numpy())
            for example in window:
                yield list(islice(rows, len(example.captions)))

    def _caption_all(self, model: keras.Model, split: str, searched: Beams) -> Result:
        kept = self.run.data / _VALIDATION
        if split == "validation" and kept.exists():
            examples = kept_examples(kept, lambda name, captions: (name, captions))
            features = self._features(split, self._read_json("images.json")[split], fresh=False)
        else:
            examples = ((example.image.name, example.captions) for example in self.splits.read(split))
            features = self._features(split, self._key(split), fresh=True)
        result = caption_all(
            model, examples, features, self.encoder, self._prepared, searched, self.config.max_decode_length
        )
        write_captions(self.run.path / f"captions-{split}.jsonl", result.captioned)
        return result

    def _seen_in_training(self, captions: set[tuple[int, ...]]) -> set[tuple[int, ...]]:
        """Those of some captions, as ids, that are in the training data."""
        seen = set()
        for example in read_shards(self.run.data, ["ids", "lengths"], [], 1, 0).as_numpy_iterator():
            ends = np.cumsum(example["lengths"])
            rows = (tuple(row[1:-1].tolist()) for row in np.split(example["ids"], ends[:-1]))
            seen.update(row for row in rows if row in captions)
        return seen


def unseen(seen: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """The doubly stochastic term: [images, captions, time, places], and which steps are real, to [images, captions]."""
    total = tf.reduce_sum(tf.where(real[..., None], tf.cast(seen, tf.float32), 0.0), axis=2)
    written = tf.cast(tf.reduce_any(real, axis=2), tf.float32)
    return written * tf.reduce_sum(tf.square(1.0 - total), axis=2)


TASK = CaptioningTask
