"""The user's images: in a zip file, which is not unpacked, or in a folder."""

import os
import zipfile
import zlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from ...common.errors import UserError


class ImageFiles:
    """Encoded images by name.

    A name is a path inside the folder or the zip file. The last part of the path is enough if it is unique.

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
            raise UserError(
                f"--images={path} cannot be read: {error}. Give a zip file or a folder of images."
            ) from error

    def __contains__(self, name: str) -> bool:
        return self._paths.get(name) is not None

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
        if name not in self._paths:
            raise UserError(f"{self.path} has no image {name!r}; add it, or remove its captions.")
        path = self._paths[name]
        if path is None:
            raise UserError(f"{self.path} has more than one image {name!r}; name them with their folders.")
        return path

    @cached_property
    def _paths(self) -> dict[str, str | None]:
        """The path of each image, by its path and by the last part of it; None if that part is not unique."""
        paths = self._archive.namelist() if self._archive is not None else _files_below(self.path)
        paths = [path for path in paths if not path.endswith("/")]
        by_name: dict[str, str | None] = {}
        for path in paths:
            name = path.rsplit("/", 1)[-1]
            by_name[name] = None if name in by_name else path
        return by_name | {path: path for path in paths}


def _files_below(folder: Path) -> Iterable[str]:
    for directory, _, names in os.walk(folder):
        for name in names:
            yield (Path(directory) / name).relative_to(folder).as_posix()
