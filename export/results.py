"""What the Python inference API returns."""

from typing import NamedTuple


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
