"""Captioning models in Python."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import UserError
from . import arguments
from .drawing import draw_attention
from .model import checked_batch_size
from .writing import Writer, best_of, checked_n_best, written_tokens

# The path of an image, or its bytes.
ImageSource = str | os.PathLike[str] | bytes
# More than any image that is read can take; a device such as /dev/zero has no end.
_LARGEST_FILE = 1 << 29


class Caption(NamedTuple):
    """A caption of an image.

    Attributes:
        image: The path of the image; empty where bytes were given.
        text: The caption; empty where the image cannot be used.
        score: Its log probability, normalised by the length penalty.
        n_best: The n-best list: captions and their scores, best first.
        error: Why the image cannot be used; empty where it can.
        truncated: Whether the caption ended by its length limit.
    """

    image: str
    text: str
    score: float
    n_best: list[tuple[str, float]]
    error: str
    truncated: bool


class AttentionMaps(NamedTuple):
    """The attention of a caption to its image.

    Attributes:
        tokens: The tokens of the caption, with its end; U+2581 stands for a space.
        weights: float32 [tokens, rows, columns], a map of the image for each token; each sums to 1, or is zero in a
            model without attention.
        error: Why the image cannot be used; empty where it can.
    """

    tokens: list[str]
    weights: np.ndarray
    error: str


class Captioner(Writer):
    """A captioning model."""

    application = "captioning"
    known_by = ("attend", "error")
    first_method = "caption"

    def caption(self, images: Iterable[ImageSource], n_best: int = 1, batch_size: int = 16) -> list[Caption]:
        """Returns the best captions of each image.

        Args:
            images: Paths of JPEG or PNG images, or their bytes. An unusable image gets an empty caption and
                an `error`.
            n_best: Captions of each image, at most the beam width of the export.
            batch_size: Images in a call of the graph.
        """
        n_best = checked_n_best(n_best)
        results: list[Caption] = []
        for image, error, row in self._read_rows("n_best", images, batch_size):
            path = "" if isinstance(image, bytes) else os.fspath(image)
            hypotheses = best_of(row, n_best)
            several = [] if error else hypotheses
            results.append(Caption(path, *hypotheses[0], several, error, bool(row["truncated"])))
        return results

    def attend(self, images: Iterable[ImageSource], batch_size: int = 16) -> list[AttentionMaps]:
        """Returns the attention of each image's best caption. Arguments as for `caption`."""
        results: list[AttentionMaps] = []
        for _, error, row in self._read_rows("attend", images, batch_size):
            tokens = written_tokens(row["tokens"])
            results.append(AttentionMaps(tokens, row["attention"][: len(tokens)], error))
        return results

    def draw(self, given: str, path: Path) -> None:
        (maps,) = self.attend([given])
        if maps.error:
            raise UserError(f"{given} cannot be drawn. {maps.error}")
        draw_attention(Path(given).read_bytes(), maps.tokens, maps.weights, path)

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Caption]:
        return self.caption(inputs, **options)

    def _read_rows(
        self, signature: str, images: Iterable[ImageSource], batch_size: int
    ) -> Iterator[tuple[ImageSource, str, dict[str, Any]]]:
        """Yields each image, its error or "", and its outputs; reads the files batch by batch."""
        if hasattr(images, "read"):
            raise UserError("images is an open file; give a list of paths or of bytes.")
        images = arguments.listed(images, "images", (str, os.PathLike, bytes), "paths or of bytes")
        for first in range(0, len(images), checked_batch_size(batch_size)):
            batch = images[first : first + batch_size]
            contents, errors = zip(*map(_read, batch), strict=True)
            rows = self.rows(signature, {"image": contents}, batch_size)
            for image, error, row in zip(batch, errors, rows, strict=True):
                yield image, error or row["error"].decode(), row


def _read(image: ImageSource) -> tuple[bytes, str]:
    """Returns the bytes of an image, and the error or ""."""
    if isinstance(image, bytes):
        return image, ""
    if not os.fspath(image):
        return b"", "The path is empty."
    try:
        with open(image, "rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            return b"", f"The file has more than {_LARGEST_FILE >> 20} MiB."
        return content, ""
    except (OSError, ValueError) as error:
        return b"", f"The file cannot be read: {getattr(error, 'strerror', None) or error}."
