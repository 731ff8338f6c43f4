"""The sources of a data set's parts: the user's files, or tensorflow-datasets."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from ...common.errors import UserError
from ..training.config import DataConfig
from . import public

Reader = Callable[[], Iterable[Any]]


def readers(
    config: DataConfig,
    from_file: Callable[[str], Iterable[Any]],
    from_public: Callable[[str, str], Iterable[Any]],
) -> Mapping[str, Reader]:
    """Returns a function for each part that the options name, which opens it.

    Args:
        config: Configuration that names the data set, or the files of its parts.
        from_file: Reads a file of the user.
        from_public: Reads a split of a tensorflow-datasets set: (name, split) -> examples.
    """
    files = {"train": config.train_data, "validation": config.validation_data, "test": config.test_data}
    refuse_pipes({f"{split}_data": path for split, path in files.items()})
    found = {split: partial(from_file, path) for split, path in files.items() if path}
    return found if config.dataset == "files" else _WithPublicSplits(found, config.dataset, from_public)


class _WithPublicSplits(Mapping[str, Reader]):
    """The user's files, and the splits of a public data set, which is looked at when a part is asked for that no file
    holds.

    Args:
        files: A function for each part that a file holds.
        name: Name of the data set.
        from_public: As for `readers`.
    """

    def __init__(
        self, files: Mapping[str, Reader], name: str, from_public: Callable[[str, str], Iterable[Any]]
    ) -> None:
        self._files = files
        self._name = name
        self._from_public = from_public

    @cached_property
    def _splits(self) -> dict[str, Reader]:
        return {
            split: partial(self._from_public, self._name, split)
            for split in public.available_splits(self._name)
        }

    def __getitem__(self, split: str) -> Reader:
        return self._files[split] if split in self._files else self._splits[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits | dict(self._files))

    def __len__(self) -> int:
        return len(self._splits | dict(self._files))


def refuse_pipes(files: Mapping[str, str | None]) -> None:
    """Raises UserError if a file can be read only once.

    Args:
        files: Files or None, by the names of their flags.
    """
    for flag, path in files.items():
        if path and os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            raise UserError(
                f"--{flag}={path} is a pipe or a device, but training reads its files more than once; write the data "
                "to a file."
            )
