"""Sentiment models in Python."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import arguments
from .model import Model, encoded


class Classification(NamedTuple):
    """The label of a text.

    Attributes:
        text: The text as given.
        label: The most probable label.
        score: The probability of `label`.
        probabilities: The probabilities of all labels.
        known_tokens: Number of words (or characters) that the model has read and knows. With 0 there was nothing to
            read, and the probabilities are the shares of the labels in the training data.
        truncated: Whether the text was longer than the model reads, and its rest was cut off.
    """

    text: str
    label: str
    score: float
    probabilities: dict[str, float]
    known_tokens: int
    truncated: bool


class Explanation(NamedTuple):
    """The part of each token in the label of a text.

    Attributes:
        text: The text as given.
        label: The most probable label.
        score: The probability of `label`.
        tokens: The tokens that the model read, in order: lower-cased words and punctuation marks, or characters.
        contributions: How much each token adds to the log odds of `label`; negative where it speaks against it.
    """

    text: str
    label: str
    score: float
    tokens: list[str]
    contributions: list[float]


class SentimentAnalyzer(Model):
    """A sentiment model."""

    application = "sentiment"
    known_by = ("serving_default", "label")
    first_method = "classify"

    def classify(self, texts: Iterable[str], batch_size: int = 64) -> list[Classification]:
        """Returns the label of each text.

        Args:
            texts: Any strings, empty ones included.
            batch_size: Texts in a call of the graph.
        """
        texts = arguments.texts(texts, "texts")
        results: list[Classification] = []
        rows = self.rows("serving_default", {"text": encoded(texts)}, batch_size)
        for text, row in zip(texts, rows, strict=True):
            labels = [label.decode() for label in row["labels"]]
            probabilities = dict(zip(labels, row["probabilities"].tolist(), strict=True))
            label, score = row["label"].decode(), float(row["score"])
            known, truncated = int(row["known_tokens"]), bool(row["truncated"])
            results.append(Classification(text, label, score, probabilities, known, truncated))
        return results

    def explain(self, texts: Iterable[str], batch_size: int = 16) -> list[Explanation]:
        """Returns the part of each token in the label of each text, by integrated gradients.

        The contributions sum to the log odds of the label, less the log odds for as many unknown words.

        Args:
            texts: Any strings, empty ones included.
            batch_size: Texts in a call of the graph.
        """
        texts = arguments.texts(texts, "texts")
        results: list[Explanation] = []
        rows = self.rows("explain", {"text": encoded(texts)}, batch_size)
        for text, row in zip(texts, rows, strict=True):
            tokens = [token.decode() for token in row["tokens"] if token]
            contributions = row["contributions"][: len(tokens)].tolist()
            results.append(
                Explanation(text, row["label"].decode(), float(row["score"]), tokens, contributions)
            )
        return results

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Classification]:
        return self.classify(inputs, **options)
