"""Examples of translation: sentence pairs."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from ...common.errors import UserError
from ..datasets import public
from ..datasets.sources import readers
from ..datasets.splits import Splits
from .config import TranslationConfig


class Pair(NamedTuple):
    """A sentence and its translation; both may hold surrogate escapes for bytes not UTF-8."""

    source: str
    target: str

    @property
    def in_bytes(self) -> tuple[bytes, bytes]:
        """Both sentences as they were in their files."""
        return self.source.encode("utf-8", "surrogateescape"), self.target.encode("utf-8", "surrogateescape")


def read_splits(config: TranslationConfig) -> Splits:
    """The parts of the data set that the configuration names."""
    languages = (config.source_language, config.target_language)

    def from_file(prefix: str) -> Iterator[Pair]:
        return read_parallel(prefix, *languages)

    def from_public(name: str, split: str) -> Iterator[Pair]:
        return _pairs(public.read_features(name, split, languages, "--source_language and --target_language"))

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    return Splits(readers(config, from_file, from_public), fractions, config.seed)


def read_parallel(prefix: str, source_language: str, target_language: str) -> Iterator[Pair]:
    """The lines of PREFIX.SOURCE and PREFIX.TARGET side by side; either may be a .gz file.

    Raises:
        UserError: for a file that is missing or cannot be read, an empty line, or files of different lengths.
    """
    names = [_file(prefix, language) for language in (source_language, target_language)]
    lines = zip_longest(*map(_lines, names))
    number = 0
    for number, pair in enumerate(lines, start=1):
        for name, line in zip(names, pair, strict=True):
            if line is None:
                other = names[1 - names.index(name)]
                raise UserError(
                    f"{name} has {number - 1} lines, but {other} has more; each sentence needs its line in both."
                )
            if not line.strip():
                raise UserError(
                    f"{name}, line {number} is empty; write the sentence, or take the line out of both files."
                )
        yield Pair(*pair)
    if not number:
        raise UserError(f"{names[0]} and {names[1]} are empty; at least one pair of sentences was expected.")


def _pairs(rows: Iterable[tuple[str, ...]]) -> Iterator[Pair]:
    return (Pair(str(source), str(target)) for source, target in rows)


def _file(prefix: str, language: str) -> str:
    for name in (f"{prefix}.{language}", f"{prefix}.{language}.gz"):
        if Path(name).is_file():
            return name
    raise UserError(
        f"There is neither {prefix}.{language} nor {prefix}.{language}.gz; give the common start of the two names, and "
        "choose the languages by --source_language and --target_language."
    )


def _lines(name: str) -> Iterator[str]:
    options = {"mode": "rt", "encoding": "utf-8-sig", "errors": "surrogateescape", "newline": "\n"}
    try:
        with gzip.open(name, **options) if name.endswith(".gz") else Path(name).open(**options) as file:
            yield from (line.rstrip("\r\n") for line in file)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{name} cannot be read: {error}. Give a text file with a sentence on each line."
        ) from error
