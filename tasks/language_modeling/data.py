"""Examples of language modelling: documents of any length."""

from functools import partial

from unroll.tasks.datasets import public
from unroll.tasks.datasets.documents import TextSplits, read_files, read_public
from unroll.tasks.language_modeling.config import LanguageModelingConfig


def read_splits(config: LanguageModelingConfig) -> TextSplits:
    """The parts of the text that the configuration names."""
    if config.dataset == "files":
        files = {"train": config.train_data, "validation": config.validation_data, "test": config.test_data}
        parts = {split: partial(read_files, name, config.tokenizer) for split, name in files.items() if name}
    else:
        parts = {
            split: partial(read_public, config.dataset, split, config.text_column, config.tokenizer)
            for split in public.available_splits(config.dataset)
        }
    return TextSplits(parts, {"test": config.test_fraction, "validation": config.validation_fraction})
