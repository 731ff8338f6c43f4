"""Files of JSON lines that grow."""

import json
import os
from pathlib import Path
from typing import Any


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
        """Returns the lines, none if the file does not exist."""
        if not self._path.exists():
            return []
        # A killed or running process may have left an incomplete line.
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").split("\n")[:-1]]
