"""Examples of sentiment analysis: a text and its label."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from unroll.tasks.datasets import public
from unroll.tasks.datasets.splits import Splits
from unroll.tasks.datasets.tables import read_table
from unroll.tasks.sentiment.config import SentimentConfig


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
    if config.dataset == "files":
        files = {"train": config.train_data, "validation": config.validation_data, "test": config.test_data}
        parts = {split: partial(read_table, path, columns) for split, path in files.items() if path}
    else:
        parts = {
            split: partial(public.read_features, config.dataset, split, columns)
            for split in public.available_splits(config.dataset)
        }
    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return Splits({split: _examples(read) for split, read in parts.items()}, fractions, config.seed)


def _examples(read: Callable[[], Iterator[tuple[str, ...]]]) -> Callable[[], Iterator[Example]]:
    return lambda: (Example(str(text), str(label)) for text, label in read())
