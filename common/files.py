"""Files that appear complete or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Endings of the pictures that can be written.
PICTURES = (".png", ".svg", ".pdf")
# Temporary names begin with it.
PARTIAL = ".partial-"


def write_json(path: Path, content: Any) -> None:
    """Writes readable JSON, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(content, ensure_ascii=False, indent=1) + "\n",
            encoding="utf-8",
            errors="surrogateescape",
        )


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path, file or directory, that takes the place of `path` when the block ends well.

    A file replaces a file at once; an existing directory is removed first.

    Raises:
        IsADirectoryError: if a file would take the place of a directory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose their format by it.
    temporary = path.with_name(PARTIAL + path.name)
    _remove(temporary)
    yield temporary
    if path.is_dir():
        if not temporary.is_dir():
            _remove(temporary)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        shutil.rmtree(path)
    os.replace(temporary, path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
