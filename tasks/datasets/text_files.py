"""The user's text files: recognised by their content, decompressed, checked and normalised, and read in pieces.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32 with one, each plain or compressed by gzip, give the same
text, in Unicode's normal form C. Anything else is refused in a sentence that names the file, the line and the byte.
"""

import codecs
import gzip
import io
import re
import shlex
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from ...common.errors import UserError
from ...common.normalization import nfc
from .file_kinds import HEAD, binary_kind

_EXPECTED = "a text file, plain or .gz"
# The errors of a missing or damaged file.
_ERRORS = (OSError, EOFError, zlib.error)
# Bytes read at a time.
_PIECE = 1 << 16
_GZIP = b"\x1f\x8b"
# Decoder and name of an encoding by its byte order mark; that of UTF-16 begins that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: (codecs.utf_32_le_decode, "utf-32-le"),
    codecs.BOM_UTF32_BE: (codecs.utf_32_be_decode, "utf-32-be"),
    codecs.BOM_UTF16_LE: (codecs.utf_16_le_decode, "utf-16-le"),
    codecs.BOM_UTF16_BE: (codecs.utf_16_be_decode, "utf-16-be"),
    codecs.BOM_UTF8: (codecs.utf_8_decode, "utf-8"),
}
# Letters beyond ASCII in a row, of which Western languages have few.
_FOREIGN = re.compile(rb"[\x80-\xff]{4}")
_MARK = "\ufeff"
_LATER_MARKS = re.compile(f"(?<=\n){_MARK}+")


def open_bytes(path: str, expected: str = _EXPECTED, *, as_given: bool = False) -> BinaryIO:
    """Opens the text of a file as UTF-8, without byte order marks.

    Args:
        path: The file.
        expected: Description of the expected file, for the error message.
        as_given: Whether to leave the text as it is, instead of in normal form.

    Raises:
        UserError: If the file cannot be opened, or proves while reading to be damaged or no text.
    """
    try:
        # Closed with the object that holds it.
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _unreadable(path, expected, error) from error
    source = _buffered(file, path, expected)
    compressed = source.peek(2)[:2] == _GZIP or (path.endswith(".gz") and bool(source.peek(1)))
    if compressed:
        source = _buffered(gzip.GzipFile(fileobj=source), path, expected, source)
    reader = _Reader(source, path, compressed, str if as_given else nfc)
    return io.BufferedReader(_Pieces(reader.texts(), source.close), _PIECE)


def open_text(path: str, expected: str = _EXPECTED, *, newline: str = "\n", as_given: bool = False) -> TextIO:
    """Opens a file as text.

    Args:
        path, expected, as_given: As for `open_bytes`.
        newline: As for `open`.

    Raises:
        UserError: As for `open_bytes`.
    """
    opened = open_bytes(path, expected, as_given=as_given)
    return io.TextIOWrapper(opened, encoding="utf-8", newline=newline)


def read_lines(path: str, expected: str = _EXPECTED, *, as_given: bool = False) -> Iterator[str]:
    """Yields the lines of a file without their ends.

    Args:
        path, expected, as_given: As for `open_text`.

    Raises:
        UserError: As for `open_bytes`.
    """
    with open_text(path, expected, as_given=as_given) as file:
        yield from (line.rstrip("\r\n") for line in file)


class _Reader:
    """Decodes a file, and knows the line and the byte where it is wrong.

    Args:
        file: The bytes, decompressed.
        name: Name of the file, for messages.
        compressed: Whether the file itself is compressed.
        normalized: Turns a piece of text into its normal form.
    """

    def __init__(
        self, file: io.BufferedReader, name: str, compressed: bool, normalized: Callable[[str], str]
    ) -> None:
        self._file = file
        self._name = name
        self._compressed = compressed
        self._normalized = normalized
        self._decode: Callable[..., tuple[str, int]] = codecs.utf_8_decode
        self._encoding = "utf-8"
        # Whether characters beyond ASCII were read; line breaks read, and bytes read after the last one.
        self._beyond_ascii = False
        self._lines = 0
        self._bytes = 0

    def texts(self) -> Iterator[str]:
        """Yields the text in pieces, each in normal form; pieces are cut where no character belongs to both sides."""
        head = self._file.peek(HEAD)
        if kind := binary_kind(head[:HEAD]):
            raise UserError(f"{self._name} is {kind.name}; {kind.advice}.")
        for mark, (decode, encoding) in _MARKS.items():
            if head.startswith(mark):
                self._decode, self._encoding = decode, encoding
                break
        newline = "\r" if b"\r" in head and b"\n" not in self._file.peek() else "\n"
        kept, at_start = "", True
        for text, last in self._decoded(head):
            text = kept + text
            end = len(text) if last else _boundary(text)
            kept, text = text[end:], self._normalized(text[:end])
            # A mark begins the file; where files with marks were joined, it begins a line.
            if _MARK in text:
                text = _LATER_MARKS.sub("", text)
                text = text.lstrip(_MARK) if at_start else text
            at_start = text.endswith("\n") or (at_start and not text)
            # Old Macintosh files end their lines with a carriage return alone.
            yield text if newline == "\n" else text.replace("\r", "\n")

    def _decoded(self, head: bytes) -> Iterator[tuple[str, bool]]:
        """Yields the text in pieces, and whether each is the last."""
        rest, last = b"", False
        while not last:
            piece = self._file.read1(_PIECE)
            last, data = not piece, rest + piece
            try:
                text, used = self._decode(data, "strict", last)
            except UnicodeDecodeError as error:
                raise self._not_text(data, error) from error
            if "\0" in text:
                raise self._nul(text[: text.index("\0")], head)
            self._count(text, used)
            rest = data[used:]
            yield text, last

    def _count(self, text: str, size: int) -> None:
        self._beyond_ascii = self._beyond_ascii or not text.isascii()
        breaks = text.count("\n")
        if breaks:
            self._lines += breaks
            self._bytes = len(text[text.rindex("\n") + 1 :].encode(self._encoding, "surrogatepass"))
        else:
            self._bytes += size

    def _position(self, text: str) -> str:
        """Returns line and byte of the end of a text that follows the counted one."""
        self._count(text, len(text.encode(self._encoding, "surrogatepass")))
        return f"{self._name}, line {self._lines + 1}, byte {self._bytes + 1}"

    def _not_text(self, data: bytes, error: UnicodeDecodeError) -> UserError:
        before, _ = self._decode(data[: error.start], "strict", False)
        if "\0" in before:
            return self._nul(before[: before.index("\0")], data)
        where = self._position(before)
        found = data[error.start]
        # Windows has letters where ISO 8859-1 has control characters.
        charset = "windows-1252" if 0x80 <= found < 0xA0 else "latin1"
        if error.reason.startswith(("unexpected end", "truncated")):
            advice = "it was cut off, so give the whole file"
            if self._encoding == "utf-8":
                advice += f", or it is in {charset}, so convert it: {self._conversion(charset)}"
            return UserError(f"{where}: the file ends in the middle of a character; {advice}.")
        if self._encoding != "utf-8":
            return UserError(
                f"{where}: 0x{found:02x} is no {self._encoding.upper()}; save the file as UTF-8."
            )
        if self._beyond_ascii:
            return UserError(
                f"{where}: 0x{found:02x} is not UTF-8, but the file before it is; correct the line, or leave out such "
                f"bytes: {self._conversion('utf-8', '-c ')}."
            )
        if _FOREIGN.search(data, error.start, error.start + HEAD):
            return UserError(
                f"{where}: 0x{found:02x} is not UTF-8; convert the file from its encoding, such as shift_jis, gb18030, "
                f"windows-1251 or latin1: {self._conversion('ENCODING')}."
            )
        return UserError(
            f"{where}: 0x{found:02x} is not UTF-8; if the file is in {charset}, convert it: "
            f"{self._conversion(charset)}."
        )

    def _nul(self, before: str, head: bytes) -> UserError:
        where = self._position(before)
        for charset, zeros, others in (
            ("utf-16le", head[1::2], head[::2]),
            ("utf-16be", head[::2], head[1::2]),
        ):
            if zeros.count(0) > len(zeros) // 3 and others.count(0) <= len(others) // 20:
                return UserError(
                    f"{where} is NUL; if the file is UTF-16 without a byte order mark, convert it: "
                    f"{self._conversion(charset)}."
                )
        return UserError(
            f"{where} is NUL, which no text holds; give a text file in UTF-8, or remove these bytes with "
            r"`tr -d '\000'`."
        )

    def _conversion(self, charset: str, options: str = "") -> str:
        path = Path(self._name)
        old = shlex.quote(self._name)
        new = shlex.quote(str(path.with_name(f"utf8-{path.name.removesuffix('.gz')}")))
        convert = f"iconv {options}-f {charset} -t utf-8"
        return f"`zcat < {old} | {convert} > {new}`" if self._compressed else f"`{convert} {old} > {new}`"


def _boundary(text: str) -> int:
    """Returns where to cut a text so that normalisation treats both sides as it treats the whole."""
    if text.endswith("\n"):
        return len(text)
    for position in range(len(text) - 1, 0, -1):
        character = text[position]
        # Marks, and the vowels and final consonants of Korean, join the character before them.
        if unicodedata.category(character)[0] != "M" and not "\u1160" <= character <= "\u11ff":
            return position
    return 0


class _UserFile(io.RawIOBase):
    """A file whose errors are the user's."""

    def __init__(self, file: Any, name: str, expected: str, below: Any = None) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._expected = expected
        self._below = below

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            return self._file.readinto(buffer)
        except _ERRORS as error:
            raise _unreadable(self._name, self._expected, error) from error

    def close(self) -> None:
        self._file.close()
        if self._below is not None:
            self._below.close()
        super().close()


class _Pieces(io.RawIOBase):
    """Pieces of text as a file in UTF-8."""

    def __init__(self, texts: Iterator[str], close: Callable[[], None]) -> None:
        super().__init__()
        self._texts = texts
        self._close = close
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            text = next(self._texts, None)
            if text is None:
                return 0
            self._rest = memoryview(text.encode("utf-8"))
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._close()
        super().close()


def _buffered(file: Any, name: str, expected: str, below: Any = None) -> io.BufferedReader:
    return io.BufferedReader(_UserFile(file, name, expected, below), _PIECE)


def _unreadable(name: str, expected: str, error: Exception) -> UserError:
    return UserError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}. Give {expected}.")
