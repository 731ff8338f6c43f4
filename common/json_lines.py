"""JSON lines, and files of them that grow."""

import json
import os
import struct
from pathlib import Path
from typing import Any, cast

from .errors import UserError, first_line

# Line separators, which JSON allows in a string but some readers split lines at.
_SEPARATORS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
_FLOAT32 = struct.Struct("f")


def json_line(content: Any) -> str:
    """Returns JSON for people and programs: one line in UTF-8, with floats as short as float32 allows."""
    return json.dumps(_shortened(content), ensure_ascii=False).translate(_SEPARATORS)


def _shortened(content: Any) -> Any:
    """Returns a nest of dictionaries, lists and tuples with its floats rounded to the digits of float32."""
    if isinstance(content, dict):
        return {name: _shortened(value) for name, value in cast("dict[str, Any]", content).items()}
    if isinstance(content, list | tuple):
        return [_shortened(value) for value in cast("list[Any]", content)]
    return _short(content) if isinstance(content, float) else content


def _short(number: float) -> float:
    """Returns the number with the fewest digits that is the same as a float32."""
    packed = _packed(number)
    shorter = (float(f"{number:.{digits}g}") for digits in range(1, 10))
    return next((short for short in shorter if packed and _packed(short) == packed), number)


def _packed(number: float) -> bytes | None:
    """Returns the bytes of a number as a float32; None if it is too large."""
    try:
        return _FLOAT32.pack(number)
    except OverflowError:
        return None


class JsonLines:
    """A file of JSON lines that a run adds to.

    Args:
        path: Path of the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Name of the file, without its folder."""
        return self._path.name

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._path.stat().st_size if self._path.exists() else 0

    def cut(self, size: int) -> None:
        """Cuts the file back to the size, in bytes, that it had at a checkpoint."""
        if self.size > size:
            os.truncate(self._path, size)

    def append(self, content: Any) -> None:
        """Adds a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")

    def read(self) -> list[Any]:
        """Returns the lines, none if the file does not exist.

        Raises:
            UserError: If a line is damaged.
        """
        if not self._path.exists():
            return []
        # A killed or running process may have left an incomplete line.
        lines = self._path.read_bytes().split(b"\n")[:-1]
        return [self._content(number, line) for number, line in enumerate(lines, start=1)]

    def _content(self, number: int, line: bytes) -> Any:
        try:
            return json.loads(line)
        # The second means JSON nested too deep.
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{self._path}, line {number} is damaged: it is not JSON ({first_line(error)}); remove the line."
            ) from error
