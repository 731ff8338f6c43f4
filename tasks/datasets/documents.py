"""Long texts, read in pieces: files, or the texts of a tensorflow-datasets set."""

import codecs
import dataclasses
import glob
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...common.errors import UserError
from . import public
from .splits import SPLITS, missing
from .tables import read_table
from .text_files import open_bytes

# Bytes read at a time.
_PIECE = 1 << 18


@dataclasses.dataclass(frozen=True)
class Document:
    """A text, or a part of one, read on demand.

    Attributes:
        open: Opens the bytes for reading.
        unit: "characters" or "bytes", the unit of lengths.
        start, stop: Bounds of the part, in units; None is the end of the text.
    """

    open: Callable[[], BinaryIO]
    unit: str
    start: int = 0
    stop: int | None = None

    def pieces(self) -> Iterator[np.ndarray]:
        """Yields the code points or byte values, int32, in pieces. Bytes that are not UTF-8 become U+FFFD."""
        position = 0
        for symbols in self._symbols():
            end = position + len(symbols)
            if end > self.start:
                stop = len(symbols) if self.stop is None else self.stop - position
                yield symbols[max(0, self.start - position) : stop]
            position = end
            if self.stop is not None and position >= self.stop:
                return

    def count(self) -> int:
        """Reads the text and returns its number of units."""
        return sum(len(piece) for piece in self.pieces())

    def write(self, path: Path) -> None:
        """Writes the text to a file, as UTF-8 or bytes."""
        with path.open("wb") as file:
            for piece in self.pieces():
                if self.unit == "bytes":
                    file.write(piece.astype(np.uint8).tobytes())
                else:
                    file.write(piece.astype("<i4").tobytes().decode("utf-32-le").encode())

    def _symbols(self) -> Iterator[np.ndarray]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with self.open() as file:
            while True:
                piece = file.read(_PIECE)
                if self.unit == "bytes":
                    yield np.frombuffer(piece, np.uint8).astype(np.int32)
                else:
                    text = decoder.decode(piece, final=not piece)
                    yield np.frombuffer(text.encode("utf-32-le"), "<i4")
                if not piece:
                    return


def read_files(pattern: str, unit: str) -> Iterator[Document]:
    """Yields the text files that a name or a glob matches, in the order of their names.

    Raises:
        UserError: If no file matches.
    """
    for name in _matching(pattern):
        yield Document(lambda name=name: open_bytes(name), unit)


def _matching(pattern: str) -> list[str]:
    """Returns the names of the files that a name or a glob matches."""
    # An existing file may have brackets in its name.
    names = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
    files = [name for name in names if not Path(name).is_dir()]
    if not files:
        raise UserError(
            f"There is no text file {pattern}; give the name of a file, or a glob such as 'texts/*.txt'."
        )
    return files


def read_rows(pattern: str, column: str, unit: str) -> Iterator[Document]:
    """Yields the texts in a column of the tables that a name or a glob matches, each as a document, without empty ones.

    Raises:
        UserError: If no file matches, or a table cannot be read.
    """
    for name in _matching(pattern):
        for (text,) in read_table(name, (column,)):
            if text.strip():
                yield _of_text(text, unit)


def read_written(folder: Path, unit: str) -> Iterator[Document]:
    """Yields the documents that `Document.write` wrote into a folder, in the order of their names; a part of a text
    counted in bytes may begin within a character."""
    for path in sorted(folder.glob("*.txt")):
        yield Document(lambda path=path: path.open("rb"), unit)


def read_public(name: str, split: str, feature: str, unit: str) -> Iterator[Document]:
    """Yields the texts of a tensorflow-datasets split, each as a document."""
    for (text,) in public.read_features(name, split, (feature,)):
        yield _of_text(str(text), unit)


def _of_text(text: str, unit: str) -> Document:
    content = text.encode("utf-8", "surrogateescape")
    return Document(lambda: io.BytesIO(content), unit)


class TextSplits:
    """The parts of a text. A missing validation or test part is cut from the end of the training part.

    All documents together are cut in the order training, validation, test; a cut may divide a document.

    Args:
        parts: For each existing part, a function that opens its documents. "train" must exist.
        fractions: For "validation" and "test", the share of the training part's units to cut if the part is missing.
    """

    def __init__(
        self, parts: Mapping[str, Callable[[], Iterable[Document]]], fractions: Mapping[str, float]
    ) -> None:
        self._parts = parts
        self._wanted = fractions

    @cached_property
    def _fractions(self) -> dict[str, float]:
        # Not in the constructor: a part that a file holds can be read where the public data set is not at hand.
        return {name: share for name, share in self._wanted.items() if share and name not in self._parts}

    def __contains__(self, split: str) -> bool:
        return split in self._parts or split in self._fractions

    def read(self, split: str) -> Iterator[Document]:
        """Yields the documents of a part.

        Raises:
            UserError: If the part does not exist, or it is empty.
        """
        if split not in self:
            raise missing(split)
        if split in self._parts and (split != "train" or not self._fractions):
            documents = self._parts[split]()
        else:
            documents = _cut(self._parts["train"](), *self._bounds(split))
        empty = True
        for document in documents:
            if next((piece for piece in document.pieces() if len(piece)), None) is not None:
                empty = False
                yield document
        if empty:
            shares = "" if split in self._parts and split != "train" else self._shares()
            raise UserError(f"The {split} part of the text is empty; give more text{shares}.")

    def _bounds(self, split: str) -> tuple[int, int]:
        """Returns the bounds of a part within the training part, in units."""
        total = sum(document.count() for document in self._parts["train"]())
        test, validation = (self._fractions.get(name, 0.0) for name in ("test", "validation"))
        # A little more, since 1 - 0.05 - 0.05 is less than 0.9 in floating point.
        ends = [0, *(int(total * share + 1e-6) for share in (1 - test - validation, 1 - test, 1))]
        return list(pairwise(ends))[SPLITS.index(split)]

    def _shares(self) -> str:
        shares = " and ".join(f"--{name}_fraction={share}" for name, share in self._fractions.items())
        return f", or change {shares}" if shares else ""


def _cut(documents: Iterable[Document], start: int, stop: int) -> Iterator[Document]:
    """Yields the text between two positions of the concatenated documents."""
    position = 0
    for document in documents:
        if position >= stop:
            return
        end = position + document.count()
        if end > start:
            yield dataclasses.replace(
                document, start=max(0, start - position), stop=min(end, stop) - position
            )
        position = end
