"""The data of captioning: images with their captions."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ...common.errors import UserError
from ...common.files import is_writable, write_json
from ...models.images.trained_part import TrainedPart
from ...models.text import END, PADDING, START, SubwordCodec, with_start_and_end
from ..data import Counts, Encoded, PreparedData, encode, learn_codec
from ..datasets import public
from ..datasets.batching import BatchLimits, batch_by_tokens
from ..datasets.feature_cache import CacheKey, FeatureCache, Image, UnusableImagesError
from ..datasets.shards import Change, Examples, read_shards
from ..datasets.sources import refuse_pipes
from ..datasets.splits import Splits
from .config import CaptioningConfig
from .files import CaptionedFiles, CaptionedImage
from .image_features import ImageFeatures
from .views import cropped, mirrored
from .words import normalized

# The keys of the features of training and validation images.
_IMAGES = "images.json"


class References(NamedTuple):
    """The reference captions of an image.

    Attributes:
        image: Name of the image.
        captions: One caption or more.
    """

    image: str
    captions: tuple[str, ...]


class CaptioningSizes(NamedTuple):
    """The sizes of a captioning model that its data determines.

    Attributes:
        tokens: Number of ids of the captions.
        features: Number of features of a position of the image; None where the model is given pixels.
        trained_part: The layers of the encoder that are trained with the decoder; None for none.
    """

    tokens: int
    features: int | None
    trained_part: TrainedPart | None = None


class CaptioningData(PreparedData):
    """Images with their captions, in a run directory: the captions are examples in shards, with the numbers of their
    images, whose features are in a cache."""

    config: CaptioningConfig
    kept_class = References
    of_examples = frozenset({_IMAGES})

    def prepare(self) -> None:
        if self.run.data.exists():
            for split, key in self._keys.items():
                self._features(split, key)
        super().prepare()

    @cached_property
    def splits(self) -> Splits:
        return read_splits(self.config)

    @property
    def sizes(self) -> CaptioningSizes:
        images = self.image_features
        return CaptioningSizes(len(self.codec), images.features, images.trained_part)

    @property
    def summary(self) -> str:
        kind = "images" if self.config.views == 1 else "views of images"
        return f"{self.train_examples:,} {kind}, a vocabulary of {self.sizes.tokens:,} tokens"

    @property
    def batch_limits(self) -> BatchLimits:
        config, counts = self.config, self.counts
        # Captions of another segmentation may be longer; they have a start and an end.
        longest = config.max_length + 2 if config.segmentation_dropout else counts.longest
        return BatchLimits(longest, max(1, config.batch_tokens // counts.rows))

    def batches(self, epoch: int, fixed_shapes: bool, loaded: bool = True) -> tf.data.Dataset:
        return self._batched(epoch, fixed_shapes, loaded, self._change(epoch))

    def sequences(self) -> tf.data.Dataset:
        """Returns batches of the training images and their captions, with the codec's own segmentation."""
        return self._batched(0, fixed_shapes=False, loaded=True)

    def _batched(
        self, epoch: int, fixed_shapes: bool, loaded: bool, change: Change | None = None
    ) -> tf.data.Dataset:
        counts = self.counts

        def captions(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = tf.RaggedTensor.from_row_lengths(example["ids"], example["lengths"])
            shape = [counts.rows if fixed_shapes else None, None]
            return {"image": example["image"], "captions": rows.to_tensor(PADDING, shape=shape)}

        batches = batch_by_tokens(
            self._shuffled(epoch, ["ids", "lengths"], ["image"], change).map(captions),
            lambda example: tf.shape(example["captions"])[1],
            self.batch_limits,
            fixed_shapes,
        )
        # After shuffling: neither the buffers nor the checkpoints hold features.
        return batches.map(self.load) if loaded else batches

    def _change(self, epoch: int) -> Change | None:
        """Returns what training changes in the captions of an epoch; None for nothing."""
        config = self.config
        # Rewards compare the tokens of texts.
        if not config.segmentation_dropout or epoch >= config.epochs - config.rewarded_epochs:
            return None

        def change(images: Examples, numbers: tf.Tensor) -> Examples:
            ids, lengths = images["ids"], images["lengths"]
            sizes = tf.cast(lengths.flat_values, tf.int64)
            captions = tf.RaggedTensor.from_row_lengths(ids.flat_values, sizes)[:, 1:-1]
            seed = tf.stack([self._seed(epoch), numbers[0]])
            anew = self.codec.resegment(captions, config.segmentation_dropout, seed, config.max_length)
            edged = tf.RaggedTensor.from_tensor(with_start_and_end(anew), padding=PADDING)
            return {
                "image": images["image"],
                "ids": lengths.with_flat_values(edged).merge_dims(1, 2),
                "lengths": lengths.with_flat_values(tf.cast(edged.row_lengths(), tf.int32)),
            }

        return change

    def load(self, batch: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        cache = self._cache(self._keys["train"])
        dtype = tf.as_dtype(cache.taken_dtype)
        images = tf.numpy_function(cache.take, [batch["image"]], dtype, stateful=False)
        return {
            "captions": batch["captions"],
            "images": tf.ensure_shape(images, [None, *self.image_features.shape]),
        }

    @cached_property
    def codec(self) -> SubwordCodec:
        """The codec of captions."""
        return SubwordCodec.from_config(self._read_json("captions.json"))

    @cached_property
    def image_features(self) -> ImageFeatures:
        """The encoder of images for the model."""
        # Until the data is prepared, the user may choose another encoder.
        if not self.run.data.exists():
            return ImageFeatures(self.config, self._initial_vocabulary)
        return ImageFeatures(self.config, self.run.intact(self.run.vocabulary))

    @property
    def encoder(self) -> str:
        return self.image_features.fingerprint

    def features(self, split: str) -> FeatureCache:
        """Returns the features of the images of a part, in the order of `examples`."""
        is_kept = split == "validation" and split in self._keys
        return self._features(split, self._keys[split] if is_kept else None)

    def images(self, split: str) -> Iterator[bytes]:
        """Yields the encoded images of a part, unchanged."""
        return (example.image.read() for example in self.splits.read(split))

    def text(self, caption: str) -> bytes:
        """Returns the training form of a caption, in UTF-8."""
        text = normalized(caption) if self.config.normalize_captions else caption
        return text.encode("utf-8", "surrogateescape")

    def seen(self, captions: set[tuple[int, ...]]) -> set[tuple[int, ...]]:
        """Returns the captions, tuples of ids, that occur in the training data."""
        found = set()
        for rows in self.references():
            found.update(row for row in (tuple(row.tolist()) for row in rows) if row in captions)
        return found

    @property
    def reference_tokens(self) -> int:
        """Number of ids of the captions."""
        return len(self.codec)

    def references(self) -> Iterator[list[np.ndarray]]:
        """Yields the captions of each training image as ids, without start and end."""
        examples = read_shards(self.run.intact(self.run.data), ["ids", "lengths"], [], 1, 0)
        for example in examples.as_numpy_iterator():
            ends = np.cumsum(example["lengths"])
            yield [row[1:-1] for row in np.split(example["ids"], ends[:-1])]

    def _source_paths(self) -> Iterator[str]:
        yield from super()._source_paths()
        yield from filter(None, (self.config.images, self.config.captions))

    def _learn(self, folder: Path) -> int:
        key = CacheKey(self.image_features.fingerprint)

        def texts() -> Iterator[list[bytes]]:
            for example in self.splits.read("train"):
                for image in self._views(example.image):
                    key.add(image)
                yield [self.text(caption) for caption in example.captions]

        codec = learn_codec(SubwordCodec, texts(), self.config)
        keys = {"train": str(key)}
        if self.has_validation:
            keys["validation"] = self._key(self._images("validation"))
        write_json(folder / "captions.json", codec.get_config())
        write_json(folder / _IMAGES, keys)
        self.image_features.keep(folder)
        return key.images

    def _write(self, folder: Path, examples: int) -> Counts:
        # Before the data is complete: images that cannot be used end the preparation, all named at once.
        unusable: dict[str, str] = {}
        for split, key in self._keys.items():
            try:
                self._features(split, key, fresh=True)
            except UnusableImagesError as error:
                unusable |= error.errors
        if unusable:
            raise UnusableImagesError(unusable)
        counts = super()._write(folder, examples)
        counts.check_left_out("captions are empty or", self.config.max_length)
        return counts

    def _encoded(self, counts: Counts) -> Iterator[Encoded]:
        """Yields the captions of each view of an image as ids."""
        longest, views = self.config.max_length, self.config.views
        texts = ([self.text(caption) for caption in e.captions] for e in self.splits.read("train"))
        # One token more than allowed, to detect captions that are too long.
        for number, rows in enumerate(encode(self.codec, texts, longest + 1)):
            # Of a caption in punctuation or emoji alone nothing is left in its training form.
            kept = [row for row in rows if 0 < len(row) <= longest]
            counts.left_out += len(rows) - len(kept)
            if not kept:
                continue
            ids = np.concatenate([edged for row in kept for edged in ([START], row, [END])])
            lengths = np.array([len(row) + 2 for row in kept])
            for view in range(views):
                counts.add(int(lengths.max()), len(kept))
                yield {"image": np.array(number * views + view), "ids": ids, "lengths": lengths}

    def _read(self, split: str) -> Iterator[References]:
        return (References(example.image.name, example.captions) for example in self.splits.read(split))

    def _views(self, image: Image) -> list[Image]:
        """Returns the views of a training image: itself, its mirror image, and random crops, as the options ask."""
        views = [image, mirrored(image)] if self.config.mirror_images else [image]
        crops = [cropped(image, number) for number in range(self.config.random_crops)]
        if self.config.mirror_images:
            crops[1::2] = map(mirrored, crops[1::2])
        return views + crops

    def _images(self, split: str, trained_on: bool = False) -> Iterator[Image]:
        """Yields the images of a part; with `trained_on`, all their views."""
        for example in self.splits.read(split):
            yield from self._views(example.image) if trained_on else [example.image]

    @property
    def _keys(self) -> dict[str, str]:
        """The keys of the features of training and validation images."""
        return self._read_json(_IMAGES)

    def _key(self, images: Iterable[Image]) -> str:
        key = CacheKey(self.image_features.fingerprint)
        for image in images:
            key.add(image)
        return str(key)

    @property
    def _cache_directory(self) -> Path:
        return Path(self.config.feature_cache or self.run.path / "features")

    def _cache(self, key: str) -> FeatureCache:
        # Kept, since it compares its files with their checksums once.
        if key not in self._caches:
            images = self.image_features
            cache = FeatureCache(self._cache_directory, key, images.shape, images.dtype.as_numpy_dtype)
            # Only then, since it reads all features.
            if not is_writable(self._cache_directory) and not cache.complete:
                cache = cache.elsewhere(self.results.directory / "features")
            self._caches[key] = cache
        return self._caches[key]

    @cached_property
    def _caches(self) -> dict[str, FeatureCache]:
        """The caches of features by their keys."""
        return {}

    def _features(self, split: str, kept_key: str | None, fresh: bool = False) -> FeatureCache:
        """Returns the features of a part; encodes missing ones.

        Args:
            split: Name of the part.
            kept_key: Their key in the run directory; None if the run keeps none.
            fresh: Whether the key was just computed.
        """
        # The features with a key in the run directory are those of training, mirrored images included, and validation.
        trained_on = split == "train" and kept_key is not None
        key = kept_key or self._key(self._images(split))
        cache = self._cache(key)
        if not cache.complete:
            if kept_key and not fresh and self._key(self._images(split, trained_on)) != key:
                raise UserError(
                    f"The features of the {split} images are not in {self._cache_directory}, and the images are not "
                    "those any more that the run was begun with; train again in another --workdir."
                )
            cache.fill(self._images(split, trained_on), self.image_features.encode, f"{split} images")
        return cache


def read_splits(config: CaptioningConfig) -> Splits:
    """Returns the parts of the data set that the options name."""
    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    # Both are given with --dataset=files, and with no other.
    if config.images and config.captions:
        lists = {
            "train": config.train_data,
            "validation": config.validation_data,
            "test": config.test_data,
        }
        refuse_pipes({"captions": config.captions} | {f"{part}_data": path for part, path in lists.items()})
        parts = CaptionedFiles(config.images, config.captions, lists).parts()
    else:
        splits = public.available_splits(config.dataset)
        parts = {split: partial(_from_public, config.dataset, split) for split in splits}
    return Splits(parts, fractions, identity=lambda example: example.image.name)


def _from_public(name: str, split: str) -> Iterator[CaptionedImage]:
    # Name and version of the data set.
    stamp = public.builder(name).info.full_name
    for number, (image, captions) in enumerate(public.read_captioned_images(name, split)):
        yield CaptionedImage(Image(f"{split}/{number}", stamp, lambda image=image: image), captions)
