"""Translation models in Python."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import UserError
from . import arguments
from .drawing import draw_alignment
from .model import encoded
from .writing import Writer, best_of, checked_n_best, written_tokens


class Translation(NamedTuple):
    """A translation of a text.

    Attributes:
        source: The text as given.
        text: The translation.
        score: Its log probability, normalised by the length penalty.
        n_best: The n-best list: translations and their scores, best first.
        truncated: Whether the text was longer than the model reads and its rest was cut off, or the translation ended
            by its length limit.
    """

    source: str
    text: str
    score: float
    n_best: list[tuple[str, float]]
    truncated: bool


class Alignment(NamedTuple):
    """The attention of a translation to its source.

    Attributes:
        source_tokens: The tokens of the source; U+2581 stands for a space.
        target_tokens: The tokens of the translation, with its end.
        weights: float32 [target tokens, source tokens]; each row sums to 1, or is zero in a model without attention.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    weights: np.ndarray


class Translator(Writer):
    """A translation model."""

    application = "translation"
    known_by = ("align", "source_tokens")
    first_method = "translate"

    def translate(self, texts: Iterable[str], n_best: int = 1, batch_size: int = 32) -> list[Translation]:
        """Returns the best translations of each text; "" where the text has nothing that the model knows.

        Args:
            texts: Any strings, a sentence each; the model cuts those longer than it was exported for.
            n_best: Translations of each text, at most the beam width of the export.
            batch_size: Texts in a call of the graph.
        """
        texts, n_best = arguments.texts(texts, "texts"), checked_n_best(n_best)
        results: list[Translation] = []
        rows = self.rows("n_best", {"text": encoded(texts)}, batch_size)
        for text, row in zip(texts, rows, strict=True):
            hypotheses = best_of(row, n_best)
            results.append(Translation(text, *hypotheses[0], hypotheses, bool(row["truncated"])))
        return results

    def align(self, texts: Iterable[str], batch_size: int = 32) -> list[Alignment]:
        """Returns the attention of each text's best translation. Arguments as for `translate`."""
        results: list[Alignment] = []
        for row in self.rows("align", {"text": encoded(arguments.texts(texts, "texts"))}, batch_size):
            source, target = written_tokens(row["source_tokens"]), written_tokens(row["tokens"])
            results.append(Alignment(source, target, row["attention"][: len(target), : len(source)]))
        return results

    def score(self, sources: Iterable[str], targets: Iterable[str], batch_size: int = 32) -> list[float]:
        """Returns the log probability of each target as the translation of its source, in nats."""
        sources, targets = arguments.texts(sources, "sources"), arguments.texts(targets, "targets")
        if len(sources) != len(targets):
            raise UserError(
                f"score was given {len(sources)} sources and {len(targets)} targets; give equal numbers of both."
            )
        inputs = {"source": encoded(sources), "target": encoded(targets)}
        return [float(row["log_probability"]) for row in self.rows("score", inputs, batch_size)]

    def draw(self, given: str, path: Path) -> None:
        draw_alignment(*self.align([given])[0], path)

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Translation]:
        return self.translate(inputs, **options)
