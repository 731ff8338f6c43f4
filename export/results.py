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
