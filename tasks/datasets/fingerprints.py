"""Fingerprints of the user's files, by which a run notices that they have changed."""

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...common.checksums import checksum
from .image_files import files_below


def fingerprints(paths: Iterable[str]) -> dict[str, list[Any]]:
    """Returns size, time of change and checksum of each file or folder by its path, without those that are missing."""
    found = {}
    for path in paths:
        try:
            found[path] = [*_status(path), _content(path)]
        except OSError:
            # Whoever reads the file will say so.
            continue
    return found


def changed_file(kept: Mapping[str, list[Any]], paths: Iterable[str]) -> str | None:
    """Returns the path of the first file that is new or has changed; None if there is none.

    Missing files do not count: a run that has its data does not need them.

    Args:
        kept: The fingerprints of earlier.
        paths: The files of now.
    """
    return next((path for path in paths if _has_changed(path, kept.get(path))), None)


def _has_changed(path: str, kept: list[Any] | None) -> bool:
    try:
        if kept is None:
            return os.path.exists(path)
        *status, content = kept
        # A folder has the time of its own list of files alone. Else contents are compared only if the rest leaves a
        # doubt: a copied file has another time.
        is_doubtful = os.path.isdir(path) or _status(path) != status
        return is_doubtful and _content(path) != content
    except OSError:
        return False


def _status(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _content(path: str) -> list[Any]:
    """Returns the checksum of a file; for a folder, that of the names, sizes and times of its files."""
    if not os.path.isdir(path):
        return [*checksum(Path(path))]
    files = sorted((name, _status(os.path.join(path, name))) for name in files_below(Path(path)))
    return [f"{zlib.crc32(repr(files).encode('utf-8', 'surrogateescape')):08x}", len(files)]
