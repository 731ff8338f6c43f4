"""Examples of captioning: images with their captions."""

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from ...common.errors import UserError
from ..datasets import public
from ..datasets.feature_cache import Image
from ..datasets.image_files import ImageFiles
from ..datasets.splits import Splits
from .config import CaptioningConfig

# Splits words as the Penn Treebank does: clitics by themselves; hyphens and dots between letters belong to their word.
_WORD = re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+(?:[-.]\w+)*")
_CLITIC = re.compile(r" (?=(?:n't|'(?:s|re|ve|ll|d|m))\b)")


class CaptionedImage(NamedTuple):
    """An image and its captions.

    Attributes:
        image: The image, which is read on demand.
        captions: At least one caption.
    """

    image: Image
    captions: tuple[str, ...]


def mirrored(image: Image) -> Image:
    """Returns an image mirrored left to right."""

    def read() -> bytes:
        content = image.read()
        try:
            pixels = tf.io.decode_image(content, expand_animations=False)
        except tf.errors.InvalidArgumentError:
            # The encoder refuses it, as it refuses the original image.
            return content
        return tf.io.encode_png(tf.image.flip_left_right(pixels), compression=1).numpy()

    return Image(f"{image.name} mirrored", image.stamp, read)


def words(caption: str) -> list[str]:
    """Splits a caption for comparison: lower case, without punctuation."""
    return _WORD.findall(caption.lower().replace("\u2019", "'"))


def normalized(caption: str) -> str:
    """Returns a caption in lower case and without punctuation, with clitics joined to their words."""
    return _CLITIC.sub("", " ".join(words(caption)))


def read_splits(config: CaptioningConfig) -> Splits:
    """Returns the parts of the data set that the configuration names."""
    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    if config.dataset == "files":
        parts = _Files(config).parts()
    else:
        splits = public.available_splits(config.dataset)
        parts = {split: partial(_from_public, config.dataset, split) for split in splits}
    return Splits(parts, fractions, config.seed, identity=lambda example: example.image.name)


class _Files:
    """The user's images and captions. Only the captions are held in memory."""

    def __init__(self, config: CaptioningConfig) -> None:
        self._config = config
        self._images = ImageFiles(config.images)
        self._captions = read_captions(config.captions)
        self._lists = {
            name: read_names(path)
            for name, path in (
                ("train", config.train_data),
                ("validation", config.validation_data),
                ("test", config.test_data),
            )
            if path
        }
        if "train" not in self._lists:
            others = {name for names in self._lists.values() for name in names}
            self._lists["train"] = [name for name in self._captions if name not in others]

    def parts(self) -> dict:
        """Returns, for each part, a function that opens it."""
        return {part: partial(self._read, part) for part in self._lists}

    def _read(self, part: str) -> Iterator[CaptionedImage]:
        names = self._lists[part]
        if part == "train":
            # An arbitrary order, in case the list was sorted by content.
            names = sorted(
                names, key=lambda name: hashlib.blake2b(name.encode("utf-8", "surrogateescape")).digest()
            )
        for name in names:
            if name not in self._captions:
                raise UserError(
                    f"The image {name!r} of the {part} list has no caption in {self._config.captions}; add one, or "
                    "remove it from the list."
                )
            image = Image(name, self._images.stamp(name), partial(self._images.read, name))
            yield CaptionedImage(image, tuple(self._captions[name]))


def read_captions(path: str) -> dict[str, list[str]]:
    """Reads the captions of each image from a file of lines `name#number<TAB>caption`.

    Raises:
        UserError: The file is missing or empty, or has a line of another form.
    """
    captions: dict[str, list[str]] = {}
    for number, line in _lines(path):
        name, tab, caption = line.partition("\t")
        head, mark, tail = name.rpartition("#")
        name = head if mark and tail.isdecimal() else name
        if not tab or not name or not caption.strip():
            raise UserError(
                f"{path}, line {number} is {line[:60]!r}, but name#number<TAB>caption was expected; correct the line."
            )
        captions.setdefault(name, []).append(caption)
    if not captions:
        raise UserError(f"{path} is empty; a caption on each line was expected, name#number<TAB>caption.")
    return captions


def read_names(path: str) -> list[str]:
    """Reads the names from a list of images, one per line, without duplicates.

    Raises:
        UserError: The file is missing or empty.
    """
    names = list(dict.fromkeys(line.strip() for _, line in _lines(path)))
    if not names:
        raise UserError(f"{path} is empty; the name of an image on each line was expected.")
    return names


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file that are not blank, with their numbers."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a text file.") from error


def _from_public(name: str, split: str) -> Iterator[CaptionedImage]:
    # Name and version of the data set.
    stamp = public.builder(name).info.full_name
    for number, (image, captions) in enumerate(public.read_captioned_images(name, split)):
        yield CaptionedImage(Image(f"{split}/{number}", stamp, lambda image=image: image), captions)
