"""Files that appear complete or not at all."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError, first_line

# Supported file extensions of plots.
PICTURES = (".png", ".svg", ".pdf")
# Temporary names begin with it.
PARTIAL = ".partial-"


def write_json(path: Path, content: Any) -> None:
    """Writes readable JSON, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8", errors="surrogateescape")


def json_text(content: Any) -> str:
    """Returns readable JSON."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def read_json(path: Path, advice: str) -> Any:
    """Reads a file that `write_json` wrote.

    Args:
        path: The file.
        advice: What to do if it cannot be read.

    Raises:
        UserError: If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); {advice}.") from error
    # The second means JSON nested too deep.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be used: it is not JSON ({first_line(error)}); {advice}.") from error


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yields a temporary path for a file or directory, which replaces `path` when the block ends without an error.

    A file is replaced atomically; an existing directory is removed first. A symbolic link stays, and what it leads to
    is replaced.

    Raises:
        IsADirectoryError: If a file would replace a directory.
    """
    name, path = path.name, behind_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keeps the suffix, by which some writers choose the format.
    temporary = path.with_name(PARTIAL + name)
    _remove(temporary)
    yield temporary
    if path.is_dir():
        if not temporary.is_dir():
            _remove(temporary)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        shutil.rmtree(path)
    os.replace(temporary, path)


def behind_link(path: Path) -> Path:
    """Returns the path that a symbolic link leads to, whether it exists or not; other paths unchanged.

    Raises:
        UserError: If the link leads to itself.
    """
    try:
        return path.resolve() if path.is_symlink() else path
    # Of Python 3.11 and 3.12; later ones return the link.
    except RuntimeError as error:
        raise UserError(f"{path} is a symbolic link that leads to itself; give another name.") from error


def is_writable(directory: Path) -> bool:
    """Returns whether files can be written into a directory, which need not exist yet."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    try:
        # An attempt, since permissions do not tell of read-only file systems, nor those of the administrator.
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
