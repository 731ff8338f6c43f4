"""What the Python inference API returns."""

from typing import NamedTuple

import numpy as np


class Classification(NamedTuple):
    """The label of a text.

    Attributes:
        text: as given.
        label: the most probable label.
        score: its probability.
        probabilities: of all labels.
    """

    text: str
    label: str
    score: float
    probabilities: dict[str, float]


class Score(NamedTuple):
    """How probable a text is.

    Attributes:
        text: as given.
        log_probability: in nats, of all its characters.
        bits_per_character: the same per character, in bits; 0 for an empty text.
        characters: their number.
    """

    text: str
    log_probability: float
    bits_per_character: float
    characters: int


class Generation(NamedTuple):
    """What a model wrote.

    Attributes:
        prompt: as given.
        text: what follows it.
        score: log probability of `text`, in nats, given the prompt.
    """

    prompt: str
    text: str
    score: float


class Translation(NamedTuple):
    """A translation of a text.

    Attributes:
        source: as given.
        text: the translation.
        score: its log probability, by the length penalty.
        n_best: the best translations and their scores, best first; as many as were asked for, if there are so many.
    """

    source: str
    text: str
    score: float
    n_best: list[tuple[str, float]]


class Alignment(NamedTuple):
    """Where a model looked.

    Attributes:
        source_tokens: of the source; a mark, U+2581, stands for a space.
        target_tokens: of the translation, with its end.
        weights: float32 [target tokens, source tokens]; each row sums to 1, or is zero without attention.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    weights: np.ndarray


class Caption(NamedTuple):
    """A caption of an image.

    Attributes:
        image: its path; empty where bytes were given.
        text: the caption; empty where the image cannot be used.
        score: its log probability, by the length penalty.
        n_best: the best captions and their scores, best first; as many as were asked for.
        error: what is wrong with the image; empty where nothing is.
    """

    image: str
    text: str
    score: float
    n_best: list[tuple[str, float]]
    error: str


class Attention(NamedTuple):
    """Where a model looked in an image.

    Attributes:
        tokens: of the caption, with its end; a mark, U+2581, stands for a space.
        weights: float32 [tokens, rows, columns], a map of the image for each token; each sums to 1, or is zero without
            attention.
        error: what is wrong with the image; empty where nothing is.
    """

    tokens: list[str]
    weights: np.ndarray
    error: str
