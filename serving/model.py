"""What all exported models have in common in Python."""

import abc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from ..common.errors import UserError

# Lines that `predict` reads before it answers.
_BATCH = 64
# Scores of hypotheses that there are not: of a short text there may be fewer than the beam is wide.
_IMPOSSIBLE = -1e8


class Model(abc.ABC):
    """An exported model.

    Args:
        directory: the version directory.
    """

    application: ClassVar[str]
    # Whether there is a method `stream`, which takes a prompt and the options of `predict`.
    streams: ClassVar[bool] = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Held, since the signatures alone do not keep the variables alive.
        self._loaded = tf.saved_model.load(os.fspath(directory))

    def predict(self, lines: Iterable[str], **options: Any) -> Iterator[Any]:
        """The application's result for each line of input, as `unroll predict` prints it; it reads some at a time.

        Args:
            lines: of input.
            options: of `answer`.
        """
        lines = iter(lines)
        while batch := list(islice(lines, _BATCH)):
            yield from self.answer(batch, **options)

    @abc.abstractmethod
    def answer(self, inputs: Sequence[str], **options: Any) -> list[Any]:
        """The application's result for each input."""

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence]) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            signature: its name.
            inputs: arrays by name, all with as many rows.

        Returns:
            NumPy arrays by name.
        """
        function = self._loaded.signatures[signature]
        dtypes = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
        outputs = function(**{name: tf.constant(value, dtypes[name]) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray | Sequence], batch_size: int = 64
    ) -> Iterator[dict[str, np.ndarray]]:
        """Calls a signature in batches.

        Args:
            signature, inputs: as for `call`.
            batch_size: rows in a call.

        Yields:
            The outputs of each batch, NumPy arrays by name.
        """
        rows = len(next(iter(inputs.values())))
        for first in range(0, rows, batch_size):
            yield self.call(
                signature, {name: value[first : first + batch_size] for name, value in inputs.items()}
            )


def best_of(texts: np.ndarray, scores: np.ndarray, n_best: int) -> list[tuple[str, float]]:
    """The first hypotheses of a row with their scores; fewer where there are not so many.

    Args:
        texts: bytes [beams], best first.
        scores: float32 [beams].
        n_best: how many.

    Raises:
        UserError: if the beam is not so wide.
    """
    if not 1 <= n_best <= len(texts):
        raise UserError(
            f"n_best is {n_best}, but the model keeps {len(texts)} hypotheses; give from 1 to so many, or export it "
            "with a larger --beam_width."
        )
    there_are = max(1, int((scores > _IMPOSSIBLE).sum()))
    found = zip(texts, scores.tolist(), strict=True)
    return [(text.decode(), score) for text, score in islice(found, min(n_best, there_are))]


def encoded(texts: Sequence[str], caller: str) -> list[bytes]:
    """Texts as UTF-8.

    Raises:
        UserError: if they are not strings in a list.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{caller} takes a list of strings, such as [text].")
    return [text.encode("utf-8", "replace") for text in texts]
