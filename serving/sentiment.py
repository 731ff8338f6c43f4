"""Sentiment models in Python."""

from collections.abc import Sequence
from typing import Any

from .model import Model, encoded
from .results import Classification


class SentimentModel(Model):
    """A sentiment model."""

    application = "sentiment"

    def classify(self, texts: Sequence[str], batch_size: int = 64) -> list[Classification]:
        """The label of each text.

        Args:
            texts: any strings, empty ones too.
            batch_size: texts in a call of the graph.
        """
        results = []
        for outputs in self.run("serving_default", {"text": encoded(texts, "classify")}, batch_size):
            for row in range(len(outputs["score"])):
                names = [name.decode() for name in outputs["labels"][row]]
                probabilities = dict(zip(names, outputs["probabilities"][row].tolist(), strict=True))
                label, score = outputs["label"][row].decode(), float(outputs["score"][row])
                results.append(Classification(texts[len(results)], label, score, probabilities))
        return results

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Classification]:
        return self.classify(inputs, **options)
