"""Examples of sentiment analysis: a text and its label."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..datasets import public
from ..datasets.sources import readers
from ..datasets.splits import Splits
from ..datasets.tables import read_table
from .config import SentimentConfig


class Example(NamedTuple):
    """A text and its label as they stand in the data; the text may hold surrogate escapes for bytes not UTF-8."""

    text: str
    label: str

    @property
    def text_bytes(self) -> bytes:
        """The text as it was in the file."""
        return self.text.encode("utf-8", "surrogateescape")


def read_splits(config: SentimentConfig) -> Splits:
    """The parts of the data set that the configuration names."""
    columns = (config.text_column, config.label_column)

    def from_file(path: str) -> Iterator[Example]:
        return _examples(read_table(path, columns))

    def from_public(name: str, split: str) -> Iterator[Example]:
        return _examples(public.read_features(name, split, columns))

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return Splits(readers(config, from_file, from_public), fractions, config.seed)


def _examples(rows: Iterable[tuple[str, ...]]) -> Iterator[Example]:
    return (Example(str(text), str(label)) for text, label in rows)
