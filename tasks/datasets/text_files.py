"""The user's text files, plain or .gz, with errors that name the file and the expected format."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from ...common.errors import UserError

_EXPECTED = "a text file, plain or .gz"
# The errors of a missing or damaged file.
_ERRORS = (OSError, EOFError, zlib.error)


def open_bytes(path: str, expected: str = _EXPECTED) -> BinaryIO:
    """Opens the bytes of a file.

    Args:
        path: The file; a name that ends in .gz means a compressed one.
        expected: Description of the expected file, for the error message.

    Raises:
        UserError: If the file cannot be opened, or proves damaged while reading.
    """
    try:
        # Closed with the object that holds it.
        file = gzip.open(path) if path.endswith(".gz") else Path(path).open("rb")  # noqa: SIM115
    except _ERRORS as error:
        raise _unreadable(path, expected, error) from error
    return io.BufferedReader(_UserFile(file, path, expected))


def open_text(
    path: str, expected: str = _EXPECTED, *, newline: str = "\n", errors: str = "surrogateescape"
) -> TextIO:
    """Opens a file as UTF-8, without the byte order mark that spreadsheets write.

    Args:
        path, expected: As for `open_bytes`.
        newline: As for `open`.
        errors: As for `open`. By default, bytes that are not UTF-8 become surrogate escapes, so that encoding with the
            same `errors` restores them.

    Raises:
        UserError: As for `open_bytes`.
    """
    return io.TextIOWrapper(open_bytes(path, expected), encoding="utf-8-sig", errors=errors, newline=newline)


def read_lines(path: str, expected: str = _EXPECTED, *, errors: str = "surrogateescape") -> Iterator[str]:
    """Yields the lines of a file without their ends.

    Args:
        path, expected, errors: As for `open_text`.

    Raises:
        UserError: As for `open_bytes`.
    """
    with open_text(path, expected, errors=errors) as file:
        yield from (line.rstrip("\r\n") for line in file)


class _UserFile(io.RawIOBase):
    """A file whose errors are the user's."""

    def __init__(self, file: Any, path: str, expected: str) -> None:
        super().__init__()
        self._file = file
        self._path = path
        self._expected = expected

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self._file.readinto(buffer)
        except _ERRORS as error:
            raise _unreadable(self._path, self._expected, error) from error

    def close(self) -> None:
        self._file.close()
        super().close()


def _unreadable(path: str, expected: str, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}. Give {expected}.")
