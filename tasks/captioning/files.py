"""The user's images and captions, and lists of image names."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from ...common.errors import UserError
from ..datasets.feature_cache import Image
from ..datasets.image_files import ImageFiles, folded
from ..datasets.tables import has_columns, read_table
from ..datasets.text_files import read_lines

# Columns of tables of captions: as Kaggle ships Flickr8k, and Flickr30k.
_COLUMNS = (("image", "caption"), ("image_name", "comment"))
_EXPECTED = "name#number<TAB>caption, or a table with the columns image and caption"
# Names in a message.
_NAMED = 20


class CaptionedImage(NamedTuple):
    """An image and its captions.

    Attributes:
        image: The image, which is read on demand.
        captions: At least one caption.
    """

    image: Image
    captions: tuple[str, ...]


class CaptionedFiles:
    """The user's images and captions. Only the captions are held in memory.

    The names of an image in the captions and in the lists may differ from its file's as `ImageFiles` allows.

    Args:
        images: Zip file or folder.
        captions: File of captions.
        lists: For each part, the file that lists its images, or None; without a list for the training part, that part
            has all images that are in no other, except those that have captions but no file.
    """

    def __init__(self, images: str, captions: str, lists: Mapping[str, str | None]) -> None:
        self._path = captions
        self._images = ImageFiles(images)
        self._captions: dict[str, list[str]] = {}
        # The first name of an image in the captions, by its key.
        self._first_names: dict[str, str] = {}
        for name, several in read_captions(captions).items():
            key = self._key(name)
            self._first_names.setdefault(key, name)
            self._captions.setdefault(key, []).extend(several)
        self._paths = {part: path for part, path in lists.items() if path}
        # The names of each part, once it was asked for: other lists are not needed, and may be gone.
        self._lists: dict[str, list[str]] = {}

    def parts(self) -> dict[str, Callable[[], Iterator[CaptionedImage]]]:
        """Returns a function for each part that opens it."""
        return {part: partial(self._read, part) for part in ("train", *self._paths)}

    def _names(self, part: str) -> list[str]:
        """Returns the names of the images of a part."""
        if part not in self._lists:
            path = self._paths.get(part)
            self._lists[part] = self._different(read_names(path)) if path else self._unlisted()
        return self._lists[part]

    def _unlisted(self) -> list[str]:
        """Returns the names of the captioned images that no list names, and tells of those without a file."""
        others = {self._key(name) for part in self._paths for name in self._names(part)}
        rest = [name for key, name in self._first_names.items() if key not in others]
        present = [name for name in rest if name in self._images]
        absent = [name for name in rest if name not in self._images]
        if absent and not present:
            raise UserError(
                f"{self._images.path} has none of the images that {self._path} names, such as {absent[0]!r}; give the "
                "images with --images, or other captions."
            )
        if absent:
            print(
                f"{len(absent)} images that {self._path} names are not in {self._images.path}; their captions are left "
                f"out: {_listed(absent)}."
            )
        return present

    def _read(self, part: str) -> Iterator[CaptionedImage]:
        self._check(part)
        names = self._names(part)
        if part == "train":
            # An arbitrary order, in case the list was sorted by content.
            names = sorted(
                names, key=lambda name: hashlib.blake2b(name.encode("utf-8", "surrogateescape")).digest()
            )
        for name in names:
            image = Image(name, self._images.stamp(name), partial(self._images.read, name))
            yield CaptionedImage(image, tuple(self._captions[self._key(name)]))

    def _check(self, part: str) -> None:
        """Raises UserError if listed images have no caption or no file, and names them all."""
        silent = [name for name in self._names(part) if self._key(name) not in self._captions]
        if silent:
            raise UserError(
                f"{_of_list(silent, part)} no caption in {self._path}; add them, or remove the names from the list."
            )
        absent = [name for name in self._names(part) if name not in self._images]
        if absent:
            raise UserError(
                f"{_of_list(absent, part)} no file in {self._images.path}; add them, or remove the names from the list."
            )

    def _key(self, name: str) -> str:
        """Returns the path of an image, or a form of its name if there is none."""
        return self._images.find(name) or folded(name)

    def _different(self, names: Iterable[str]) -> list[str]:
        """Returns the names of different images."""
        found: dict[str, str] = {}
        for name in names:
            found.setdefault(self._key(name), name)
        return list(found.values())


def read_captions(path: str) -> dict[str, list[str]]:
    """Reads the captions of each image from lines `name#number<TAB>caption`, or a table with the columns image and
    caption.

    Raises:
        UserError: If the file is missing or empty, or has a line of another form.
    """
    captions: dict[str, list[str]] = {}
    for name, caption in _named_captions(path):
        captions.setdefault(name, []).append(caption)
    if not captions:
        raise UserError(f"{path} is empty; a caption on each line was expected, {_EXPECTED}.")
    return captions


def _named_captions(path: str) -> Iterator[tuple[str, str]]:
    columns = next((columns for columns in _COLUMNS if has_columns(path, columns)), None)
    if columns:
        for name, caption in read_table(path, columns, filled=columns):
            yield name.strip(), caption.strip()
        return
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        head, mark, tail = name.rpartition("#")
        name = head if mark and tail.isdecimal() else name
        if not tab or not name or not caption.strip():
            raise UserError(
                f"{path}, line {number} is {line[:60]!r}, but {_EXPECTED} was expected; correct the line."
            )
        yield name, caption


def read_names(path: str) -> list[str]:
    """Reads the names from a list of images, one per line, without duplicates.

    Raises:
        UserError: If the file is missing or empty.
    """
    names = list(dict.fromkeys(name for line in read_lines(path) if (name := line.strip())))
    if not names:
        raise UserError(f"{path} is empty; the name of an image on each line was expected.")
    return names


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _of_list(names: list[str], part: str) -> str:
    """Returns the subject of a sentence, with its verb."""
    if len(names) == 1:
        return f"The image {names[0]!r} of the {part} list has"
    return f"{len(names)} images of the {part} list ({_listed(names)}) have"
