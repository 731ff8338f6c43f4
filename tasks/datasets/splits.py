"""The parts of a data set: training, validation and test."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ...common.errors import UserError

T = TypeVar("T")

SPLITS = ("train", "validation", "test")


def keep_examples(path: Path, examples: Iterable[Any]) -> None:
    """Writes tuples of strings, one JSON line each."""
    with path.open("w", encoding="utf-8") as file:
        # ASCII with escapes holds any text, surrogates included.
        file.writelines(json.dumps(example) + "\n" for example in examples)


def kept_examples(path: Path, kind: Callable[..., T]) -> Iterator[T]:
    """Yields the tuples that `keep_examples` wrote, each as a `kind`."""
    with path.open(encoding="utf-8") as file:
        yield from (kind(*json.loads(line)) for line in file)


def missing(split: str) -> UserError:
    """Returns the error for a part that the data does not have, with the ways to get one."""
    advice = f"train with --{split}_data or a --{split}_fraction above 0"
    if split == "test":
        advice = f"evaluate with --test_data=FILE or --split=validation, or {advice}"
    return UserError(f"The data has no {split} part; {advice}.")


# Of the hash.
_KEY = b"0"


class Splits:
    """The parts of a data set. A missing validation or test part is cut from the training part.

    A hash of an example decides its part: repeated examples stay in one part, and neither the order of the data nor the
    seed of a run matters, so that runs of several seeds can be compared and averaged.

    Args:
        parts: For each existing part, a function that opens it. "train" must exist.
        fractions: For "validation" and "test", the share of the training part to cut if the part is missing.
        identity: Function from an example to its identity, whose `repr` is hashed.
    """

    def __init__(
        self,
        parts: Mapping[str, Callable[[], Iterable[Any]]],
        fractions: Mapping[str, float],
        identity: Callable[[Any], Any] = lambda example: example,
    ) -> None:
        self.parts = parts
        self._fractions = fractions
        self.identity = identity

    @cached_property
    def fractions(self) -> dict[str, float]:
        """The share of the training part that each missing part is cut from it."""
        # Not in the constructor: a part that a file holds can be read where the public data set is not at hand.
        return {name: share for name, share in self._fractions.items() if share and name not in self.parts}

    def __contains__(self, split: str) -> bool:
        return split in self.parts or split in self.fractions

    def read(self, split: str) -> Iterator[Any]:
        """Yields the examples of a part, in the order of the data.

        Raises:
            UserError: If the part is missing and no fraction is given for it, or if the part is empty.
        """
        if split in self.parts and (split != "train" or not self.fractions):
            yield from self.parts[split]()
            return
        if split not in self:
            raise missing(split)
        count = 0
        for example in self.parts["train"]():
            if self._part_of(example) == split:
                count += 1
                yield example
        if not count:
            shares = " and ".join(f"--{name}_fraction={share}" for name, share in self.fractions.items())
            raise UserError(
                f"With {shares} the {split} part of the training data is empty; give larger fractions, or more data."
            )

    def _part_of(self, example: Any) -> str:
        hashed = repr(self.identity(example)).encode()
        digest = hashlib.blake2b(hashed, digest_size=8, key=_KEY).digest()
        position = int.from_bytes(digest) / 2**64
        for name, share in self.fractions.items():
            if position < share:
                return name
            position -= share
        return "train"
