"""Captioning models in Python."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from .model import Model, best_of
from .pictures import draw_attention
from .results import Attention, Caption

Image = str | os.PathLike[str] | bytes


class Captioner(Model):
    """A captioning model."""

    application = "captioning"

    def caption(self, images: Sequence[Image], n_best: int = 1, batch_size: int = 16) -> list[Caption]:
        """The best captions of each image.

        Args:
            images: paths of JPEG or PNG images, or their bytes. One that cannot be used has an empty caption, and its
                result says why.
            n_best: captions of each, at most the beam width that the model was exported with.
            batch_size: images in a call of the graph.
        """
        results = []
        for outputs, unread in self._run("n_best", images, batch_size):
            for row, scores, error, why in zip(
                outputs["captions"], outputs["scores"], outputs["error"], unread, strict=True
            ):
                image, error = images[len(results)], why or error.decode()
                name = "" if isinstance(image, bytes) else os.fspath(image)
                found = best_of(row, scores, n_best)
                results.append(Caption(name, *found[0], [] if error else found, error))
        return results

    def attend(self, images: Sequence[Image], batch_size: int = 16) -> list[Attention]:
        """Where the model looks when it captions each image."""
        results = []
        for outputs, unread in self._run("attend", images, batch_size):
            for row, weights, error, why in zip(
                outputs["tokens"], outputs["attention"], outputs["error"], unread, strict=True
            ):
                tokens = [token.decode() for token in row if token]
                results.append(Attention(tokens, weights[: len(tokens)], why or error.decode()))
        return results

    def predict(
        self, lines: Iterable[str], plot: str | os.PathLike[str] | None = None, **options: Any
    ) -> Iterator[Caption]:
        lines = iter(lines)
        first = list(islice(lines, 1))
        if plot and first:
            (seen,) = self.attend(first)
            if seen.error:
                raise UserError(f"{first[0]} cannot be drawn. {seen.error}")
            draw_attention(Path(first[0]).read_bytes(), seen, Path(plot))
        return super().predict(chain(first, lines), **options)

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Caption]:
        return self.caption(inputs, **options)

    def _run(
        self, signature: str, images: Sequence[Image], batch_size: int
    ) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """The outputs of each batch, and why an image could not be read; files are read batch by batch."""
        if isinstance(images, str | bytes) or not all(
            isinstance(image, str | os.PathLike | bytes) for image in images
        ):
            raise UserError("A captioning model takes a list of paths or of bytes, such as [path].")
        for first in range(0, len(images), batch_size):
            read = [_read(image) for image in images[first : first + batch_size]]
            yield (
                self.call(signature, {"image": [content for content, _ in read]}),
                [error for _, error in read],
            )


def _read(image: Image) -> tuple[bytes, str]:
    """The bytes of an image, and why there are none."""
    if isinstance(image, bytes):
        return image, ""
    try:
        return Path(image).read_bytes(), ""
    except (OSError, ValueError) as error:
        return b"", f"The file cannot be read: {getattr(error, 'strerror', None) or error}."
