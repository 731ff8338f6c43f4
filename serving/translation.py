"""Translation models in Python."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from .model import Model, best_of, encoded
from .pictures import draw_alignment
from .results import Alignment, Translation


class Translator(Model):
    """A translation model."""

    application = "translation"

    def translate(self, texts: Sequence[str], n_best: int = 1, batch_size: int = 32) -> list[Translation]:
        """The best translations of each text.

        Args:
            texts: any strings, a sentence each; what is longer than the model was made for is cut.
            n_best: translations of each, at most the beam width that the model was exported with.
            batch_size: texts in a call of the graph.
        """
        results = []
        for outputs in self.run("n_best", {"text": encoded(texts, "translate")}, batch_size):
            for row, scores in zip(outputs["texts"], outputs["scores"], strict=True):
                found = best_of(row, scores, n_best)
                results.append(Translation(texts[len(results)], *found[0], found))
        return results

    def align(self, texts: Sequence[str], batch_size: int = 32) -> list[Alignment]:
        """Where the model looks when it translates each text."""
        results = []
        for outputs in self.run("align", {"text": encoded(texts, "align")}, batch_size):
            for source, target, weights in zip(
                outputs["source_tokens"], outputs["target_tokens"], outputs["alignment"], strict=True
            ):
                source, target = (
                    [token.decode() for token in tokens if token] for tokens in (source, target)
                )
                results.append(Alignment(source, target, weights[: len(target), : len(source)]))
        return results

    def score(self, sources: Sequence[str], targets: Sequence[str], batch_size: int = 32) -> list[float]:
        """The log probability of each target as the translation of its source, in nats."""
        inputs = {"source": encoded(sources, "score"), "target": encoded(targets, "score")}
        if len(sources) != len(targets):
            raise UserError(
                f"score was given {len(sources)} sources and {len(targets)} targets; give as many of both."
            )
        batches = self.run("score", inputs, batch_size)
        return [value for outputs in batches for value in outputs["log_probability"].tolist()]

    def predict(
        self, lines: Iterable[str], plot: str | os.PathLike[str] | None = None, **options: Any
    ) -> Iterator[Translation]:
        lines = iter(lines)
        first = list(islice(lines, 1))
        if plot and first:
            draw_alignment(self.align(first)[0], Path(plot))
        return super().predict(chain(first, lines), **options)

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Translation]:
        return self.translate(inputs, **options)
