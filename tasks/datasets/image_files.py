"""The user's images: in a zip file, which is not unpacked, or in a folder."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from ...common.errors import UserError
from ...common.normalization import nfc


class ImageFiles:
    """Encoded images by name.

    A name is a path inside the folder or the zip file. The last part of the path is enough if it is unique. Case, the
    form of accents and of slashes (`\\` for `/`) do not matter, unless images differ in nothing else.

    Args:
        path: Zip file or folder.

    Raises:
        UserError: If the path is neither a zip file nor a folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._archive: zipfile.ZipFile | None = None
        if self.path.is_dir():
            return
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"--images={path} cannot be read: {reason}. Give a zip file or a folder of images."
            ) from error

    def __contains__(self, name: str) -> bool:
        """Whether there is an image of a name, or more than one."""
        return name in self._paths or folded(name) in self._folded_paths

    def find(self, name: str) -> str | None:
        """Returns the path of an image; None if there is none, or more than one."""
        for paths, key in ((self._paths, name), (self._folded_paths, folded(name))):
            if key in paths:
                return paths[key]
        return None

    def read(self, name: str) -> bytes:
        """Returns the bytes of an image.

        Raises:
            UserError: If the image cannot be read, does not exist, or shares its name with another.
        """
        path = self._path(name)
        try:
            if self._archive is not None:
                return self._archive.read(path)
            return (self.path / path).read_bytes()
        # The last four come from damaged or encrypted archives.
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise UserError(f"The image {name} in {self.path} cannot be read: {error}.") from error

    def stamp(self, name: str) -> str:
        """Returns a string that changes when the image changes, without reading the image."""
        path = self._path(name)
        if self._archive is not None:
            entry = self._archive.getinfo(path)
            return f"{entry.CRC:08x} {entry.file_size}"
        status = (self.path / path).stat()
        return f"{status.st_mtime_ns} {status.st_size}"

    def _path(self, name: str) -> str:
        if name not in self:
            raise UserError(f"{self.path} has no image {name!r}; add it, or remove its captions.")
        path = self.find(name)
        if path is None:
            raise UserError(f"{self.path} has more than one image {name!r}; name them with their folders.")
        return path

    @cached_property
    def _paths(self) -> dict[str, str | None]:
        """The path of each image, by its path and by the last part of it; None if that part is not unique."""
        paths = (
            _entries(self._archive)
            if self._archive is not None
            else {path: path for path in files_below(self.path)}
        )
        by_name: dict[str, str | None] = {}
        for name, path in paths.items():
            last = name.replace("\\", "/").rsplit("/", 1)[-1]
            by_name[last] = None if last in by_name else path
        return by_name | paths

    @cached_property
    def _folded_paths(self) -> dict[str, str | None]:
        """The path of each image by the folded forms of its names; None where images share one."""
        found: dict[str, str | None] = {}
        folder = self.path.name if self._archive is None else self.path.stem
        for name, path in self._paths.items():
            # A name may begin with that of the folder.
            for key in (folded(name), folded(f"{folder}/{name}")):
                found[key] = path if found.get(key, path) == path else None
        return found


def folded(name: str) -> str:
    """Returns a form of a name that does not depend on case, on the form of accents and on the slashes."""
    return nfc(nfc(name).casefold()).replace("\\", "/").removeprefix("./")


def files_below(folder: Path) -> Iterator[str]:
    """Yields the paths of the files in a folder and its subfolders, from there; pipes and links to nothing are none."""
    for directory, _, names in os.walk(folder):
        for path in (Path(directory) / name for name in names):
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def _entries(archive: zipfile.ZipFile) -> dict[str, str]:
    """Returns the names of the files in an archive by their names as they were meant."""
    found: dict[str, str] = {}
    for entry in archive.infolist():
        if not entry.is_dir():
            found[_meant(entry)] = entry.filename
    return found


def _meant(entry: zipfile.ZipInfo) -> str:
    """Returns the name of an entry; macOS writes UTF-8 without saying so."""
    if not entry.flag_bits & 0x800:
        with suppress(UnicodeError):
            return entry.filename.encode("cp437").decode("utf-8")
    return entry.filename
