"""Examples of language modelling: documents of any length."""

from collections.abc import Iterator

from ..datasets.documents import Document, TextSplits, read_files, read_public
from ..datasets.sources import readers
from .config import LanguageModelingConfig


def read_splits(config: LanguageModelingConfig) -> TextSplits:
    """The parts of the text that the configuration names."""

    def from_file(pattern: str) -> Iterator[Document]:
        return read_files(pattern, config.tokenizer)

    def from_public(name: str, split: str) -> Iterator[Document]:
        return read_public(name, split, config.text_column, config.tokenizer)

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return TextSplits(readers(config, from_file, from_public), fractions)
