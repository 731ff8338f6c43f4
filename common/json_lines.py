"""Files of JSON lines that grow."""

import json
import os
from pathlib import Path
from typing import Any


class JsonLines:
    """A file of JSON lines that a run adds to.

    Args:
        path: of the file, which need not exist.
        size: when the checkpoint was written; what a process that was killed wrote later is cut off. None: all is
            kept.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self._path = path
        if size is not None and self.size > size:
            os.truncate(path, size)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._path.stat().st_size if self._path.exists() else 0

    def append(self, content: Any) -> None:
        """Adds a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")

    def read(self) -> list[Any]:
        """The lines; none where there is no file."""
        if not self._path.exists():
            return []
        # A training that is killed, or goes on, may have left half a line.
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").split("\n")[:-1]]
