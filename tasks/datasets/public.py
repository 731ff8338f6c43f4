"""Examples from tensorflow-datasets: the public data sets, and the embedded ones that this package generates."""

import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from ...common.errors import UserError, first_line
from ...common.normalization import nfc
from .splits import SPLITS

# The embedded data sets, which need no network, and the module that registers each.
EMBEDDED = {
    "unroll_reviews": "unroll.tasks.datasets.embedded.reviews",
    "unroll_python": "unroll.tasks.datasets.embedded.python_sources",
    "unroll_translation": "unroll.tasks.datasets.embedded.translations",
    "unroll_scenes": "unroll.tasks.datasets.embedded.scenes",
}
# Names of the validation split in different data sets.
_VALIDATION = ("validation", "val")


@functools.cache
def builder(name: str) -> Any:
    """Returns the prepared tensorflow-datasets builder of a data set, downloaded or generated at first use.

    Args:
        name: Name of the data set, such as "imdb_reviews", "glue/sst2" or "unroll_reviews".

    Raises:
        UserError: If the data set does not exist, or it cannot be fetched.
    """
    import tensorflow_datasets as tfds

    alternatives = f"use --dataset=files with your own data, or an embedded data set: {', '.join(EMBEDDED)}"
    if ":" in name:
        # A prefix names another catalogue, which tensorflow-datasets would ask over the network.
        raise UserError(f"There is no data set {name!r} in tensorflow-datasets; {alternatives}.")
    if name in EMBEDDED:
        importlib.import_module(EMBEDDED[name])
    try:
        found = tfds.builder(name)
    # The last two mean a missing version and a name with an unknown prefix.
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError, ImportError) as error:
        raise UserError(f"There is no data set {name!r} in tensorflow-datasets; {alternatives}.") from error
    if not found.data_path.exists():
        source = "Making" if name in EMBEDDED else "Downloading"
        print(
            f"{source} {name} ({found.info.download_size} to fetch) into {found.data_path} ...",
            file=sys.stderr,
        )
    if not sys.stderr.isatty():
        # Its bars would fill a log file.
        tfds.disable_progress_bar()
    try:
        found.download_and_prepare()
    except Exception as error:
        # Any exception: each data set fails in its own way, and the remedy is the same.
        raise UserError(
            f"The data set {name!r} cannot be fetched ({first_line(error)}); {alternatives}."
        ) from error
    return found


def available_splits(name: str) -> list[str]:
    """Returns the names of the splits that a data set has, out of train, validation and test.

    Raises:
        UserError: If the data set has no train split.
    """
    # tensorflow-datasets' mock, which replaces data in offline tests, lists no splits, but has them all.
    available = builder(name).info.splits or SPLITS
    if "train" not in available:
        raise UserError(f"The data set {name!r} has no train split; it has {', '.join(available)}.")
    return [split for split in SPLITS if _split(name, split) in available]


def read_features(
    name: str,
    split: str,
    features: tuple[str, ...],
    chosen_by: str = "--text_column and --label_column",
) -> Iterator[tuple[Any, ...]]:
    """Yields the chosen features of each example of a split; class labels as their names, text as str.

    Args:
        name: Name of the data set.
        split: Name of the split, such as train.
        features: Names of the features.
        chosen_by: Flags that name the features, for the error message.

    Raises:
        UserError: If the data set lacks a feature, or hides its labels.
    """
    import tensorflow_datasets as tfds

    info = builder(name).info
    for feature in features:
        if feature not in info.features:
            raise UserError(
                f"The data set {name!r} has no feature {feature!r}; it has {', '.join(info.features)}. Choose with "
                f"{chosen_by}."
            )
    decode = [_decoder(info.features[feature], f"{name!r}, split {split!r}") for feature in features]
    dataset = builder(name).as_dataset(split=_split(name, split), shuffle_files=False)
    for example in tfds.as_numpy(dataset):
        yield tuple(convert(example[feature]) for convert, feature in zip(decode, features, strict=True))


def read_captioned_images(name: str, split: str) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Yields the encoded image and the captions of each example of a split.

    Raises:
        UserError: If the data set has no image or no captions.
    """
    import tensorflow_datasets as tfds

    features = builder(name).info.features
    if "image" not in features or "captions" not in features:
        raise UserError(
            f"The data set {name!r} has the features {', '.join(features)}; captioning needs image and captions, as in "
            "coco_captions."
        )
    # Decode only these features; captions of COCO have more fields than the text.
    described = isinstance(getattr(features["captions"], "feature", None), tfds.features.FeaturesDict)
    decoders = tfds.decode.PartialDecoding(
        {"image": True, "captions": {"text"} if described else True},
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    dataset = builder(name).as_dataset(split=_split(name, split), shuffle_files=False, decoders=decoders)
    for example in tfds.as_numpy(dataset):
        texts = example["captions"]["text"] if described else example["captions"]
        yield example["image"], tuple(nfc(text.decode("utf-8", "surrogateescape")) for text in texts)


def _split(name: str, split: str) -> str:
    """Returns the data set's own name of a split."""
    if split != "validation":
        return split
    return next((known for known in _VALIDATION if known in builder(name).info.splits), split)


def _decoder(feature: Any, where: str) -> Any:
    import tensorflow_datasets as tfds

    if not isinstance(feature, tfds.features.ClassLabel):
        return lambda value: (
            nfc(value.decode("utf-8", "surrogateescape")) if isinstance(value, bytes) else value
        )

    def name_of(label: int) -> str:
        if label < 0:
            raise UserError(f"The data set {where} hides its labels; use another --split.")
        return feature.int2str(int(label))

    return name_of
