"""The base class of translation and captioning models in Python."""

import abc
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from . import arguments
from .model import Model

# A lower score marks a hypothesis that only fills the beam, where the search found fewer than its width.
_IMPOSSIBLE = -1e8


class Writer(Model):
    """A model that writes texts by beam search, and attends to its input."""

    def predict(
        self, lines: Iterable[str], plot: str | os.PathLike[str] | None = None, **options: Any
    ) -> Iterator[Any]:
        """Yields the application's result for each line.

        Args:
            lines: The input.
            plot: A .png, .svg or .pdf file for a plot of the attention to the first line.
            options: Those of `answer`.
        """
        lines = iter(lines)
        first = list(islice(lines, 1))
        if plot and first:
            self.draw(first[0], Path(plot))
        return super().predict(chain(first, lines), **options)

    @abc.abstractmethod
    def draw(self, given: str, path: Path) -> None:
        """Draws the attention of the model to one input.

        Args:
            given: As for `answer`.
            path: A .png, .svg or .pdf file.
        """


def checked_n_best(n_best: int) -> int:
    """Returns n_best.

    Raises:
        UserError: If `n_best` is not a positive integer.
    """
    return arguments.integer(n_best, "n_best", "the number of hypotheses, at least 1", 1)


def best_of(row: Mapping[str, np.ndarray], n_best: int) -> list[tuple[str, float]]:
    """Returns the first hypotheses of a row with their scores; fewer where the search found fewer.

    Args:
        row: `texts`, bytes [beams], best first, and their `scores`, float32 [beams].
        n_best: Maximum number of hypotheses.

    Raises:
        UserError: If the beam is narrower than `n_best`.
    """
    texts, scores = row["texts"], row["scores"]
    arguments.integer(
        n_best,
        "n_best",
        f"1 to {len(texts)}, the beam width of the model, or export it with a larger --beam_width",
        1,
        len(texts),
    )
    found = max(1, int((scores > _IMPOSSIBLE).sum()))
    pairs = zip(texts, scores.tolist(), strict=True)
    return [(text.decode(), score) for text, score in islice(pairs, min(n_best, found))]


def written_tokens(tokens: np.ndarray) -> list[str]:
    """Returns the tokens of a row, bytes [time], without the empty ones at its end."""
    return [token.decode() for token in tokens if token]
