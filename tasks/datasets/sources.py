"""The sources of a data set's parts: the user's files, or tensorflow-datasets."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..training.config import DataConfig
from . import public

Reader = Callable[[], Iterable[Any]]


def readers(
    config: DataConfig,
    from_file: Callable[[str], Iterable[Any]],
    from_public: Callable[[str, str], Iterable[Any]],
) -> dict[str, Reader]:
    """Returns a function for each part that the options name, which opens it.

    Args:
        config: Configuration that names the data set, or the files of its parts.
        from_file: Reads a file of the user.
        from_public: Reads a split of a tensorflow-datasets set: (name, split) -> examples.
    """
    files = {"train": config.train_data, "validation": config.validation_data, "test": config.test_data}
    found: dict[str, Reader] = {}
    if config.dataset != "files":
        splits = public.available_splits(config.dataset)
        found = {split: partial(from_public, config.dataset, split) for split in splits}
    return found | {split: partial(from_file, path) for split, path in files.items() if path}
