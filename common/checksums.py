"""Checksums of files, kept beside them and compared before the files are used again.

A manifest lists the files of a directory, one a line: CRC-32, size in bytes, name. Directories made by an earlier
version have none, and are used unchecked.
"""

import json
import zlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import json_text, replacing

MANIFEST = "checksums.txt"
# Bytes read at a time.
_PIECE = 1 << 20

# CRC-32 in hexadecimal digits, and size in bytes.
Checksum = tuple[str, int]
# A name has two checksums while its file is being replaced: of the old content and of the new.
_Entries = dict[str, list[Checksum]]


class DamagedError(UserError):
    """A file has another content than the one that was written, or it is missing."""


def seal(directory: Path, manifest: str = MANIFEST) -> None:
    """Writes the checksums of all files below a directory.

    Args:
        directory: The complete directory, not yet renamed to its final name.
        manifest: Name of the manifest inside it.
    """
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    names = [name for name in names if name != manifest]
    _write(directory / manifest, {name: [checksum(directory / name)] for name in names})


def verify(directory: Path, *names: str, manifest: str = MANIFEST, advice: str) -> None:
    """Compares files with their checksums.

    Args:
        directory: A directory with a manifest; without one, nothing is compared.
        names: Files and folders in the manifest; none: everything in it.
        manifest: Name of the manifest inside the directory.
        advice: What to do about a damaged file.

    Raises:
        DamagedError: If a file is missing or has another content.
    """
    path = directory / manifest
    entries = _read(path, advice)
    if entries is None:
        return
    for name in names:
        if not any(_is_in(listed, [name]) for listed in entries):
            raise DamagedError(f"{path} does not list {name}: one of the two is damaged; {advice}.")
    chosen = [listed for listed in entries if not names or _is_in(listed, names)]
    for name, found in zip(chosen, _checksums(directory, chosen), strict=True):
        if found is None:
            raise DamagedError(f"{directory / name} is missing or cannot be read; {advice}.")
        if found not in entries[name]:
            raise DamagedError(f"{directory / name} is damaged: it has not the checksum in {path}; {advice}.")


def lists(directory: Path, name: str) -> bool | None:
    """Returns whether a manifest lists a file or folder; None without a manifest."""
    entries = _read(directory / MANIFEST, "restore it from a backup")
    return None if entries is None else any(_is_in(listed, [name]) for listed in entries)


@contextmanager
def replacing_listed(path: Path) -> Generator[Path]:
    """Does the work of `replacing` for a file, and lists it in the manifest beside it.

    A process killed at any time leaves a file that its manifest accepts.
    """
    manifest = path.with_name(MANIFEST)
    with replacing(path) as temporary:
        yield temporary
        new = checksum(temporary)
        try:
            entries = _read(manifest, "") or {}
        except DamagedError:
            entries = {}
        _write(manifest, entries | {path.name: [*entries.get(path.name, [])[-1:], new]})
    _write(manifest, entries | {path.name: [new]})


def write_listed_json(path: Path, content: Any) -> None:
    """Does the work of `write_json`, and lists the file in the manifest beside it."""
    with replacing_listed(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8", errors="surrogateescape")


def checksum_of_json(content: Any) -> str:
    """Returns the checksum of content that a JSON file holds beside it."""
    text = json.dumps(content, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


def checksum(path: Path) -> Checksum:
    """Returns the checksum of a file.

    Raises:
        OSError: If it cannot be read.
    """
    crc, size = 0, 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            crc, size = zlib.crc32(piece, crc), size + len(piece)
    return f"{crc:08x}", size


def _is_in(listed: str, names: Iterable[str]) -> bool:
    return any(listed == name or listed.startswith(f"{name}/") for name in names)


def _write(path: Path, entries: _Entries) -> None:
    with replacing(path) as temporary:
        lines = [f"{crc} {size} {name}\n" for name, found in entries.items() for crc, size in found]
        temporary.write_text("".join(lines), encoding="utf-8")


def _read(path: Path, advice: str) -> _Entries | None:
    """Returns the checksums in a manifest; None if it does not exist."""
    entries: _Entries = {}
    try:
        *lines, rest = path.read_text(encoding="utf-8").split("\n")
        if rest or not lines:
            raise ValueError(rest)
        for line in lines:
            crc, size, name = line.split(" ", 2)
            int(crc, 16)
            entries.setdefault(name, []).append((crc, int(size)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path} is damaged, or cannot be read; {advice}.") from error
    return entries


def _checksums(directory: Path, names: Iterable[str]) -> list[Checksum | None]:
    """Returns the checksum of each file; None for a file that cannot be read."""

    def found(name: str) -> Checksum | None:
        try:
            return checksum(directory / name)
        # The second means a name that no file can have.
        except (OSError, ValueError):
            return None

    # Threads, since reading and CRC-32 release Python's lock.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(found, names))
