"""Image features cached on disk: a frozen network runs once, not in each epoch or run."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike

from ...common.checksums import replacing_listed, verify
from ...common.errors import UserError
from ...common.files import write_json
from ...common.locks import LockedError, locked
from ...common.progress_bar import ProgressBar
from .batching import chunks

# Images in a file: a killed process loses at most the work for these.
_SHARD = 256
# Images named in a message for each reason.
_NAMED = 100
# Images encoded at a time.
_BATCH = 32


class Image(NamedTuple):
    """An image of a data set.

    Attributes:
        name: Name of the image.
        stamp: String that changes when the image changes.
        read: Reads the bytes of the image.
    """

    name: str
    stamp: str
    read: Callable[[], bytes]


class UnusableImagesError(UserError):
    """Some images cannot be used.

    Args:
        errors: The reasons by the names of the images.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = errors
        names: dict[str, list[str]] = {}
        for name, error in errors.items():
            names.setdefault(error, []).append(name)
        if len(errors) == 1:
            ((name, error),) = errors.items()
            super().__init__(
                f"The image {name} cannot be used. {error} Repair it, or remove it from the data."
            )
            return
        reasons = " ".join(f"{error} ({_listed(sorted(several))})" for error, several in names.items())
        super().__init__(
            f"{len(errors)} images cannot be used. {reasons} Repair them, or remove them from the data."
        )


class CacheKey:
    """The name under which features are cached; it depends on the encoder and on the images, in order.

    Args:
        encoder: Fingerprint of the encoder.
    """

    def __init__(self, encoder: str) -> None:
        self._digest = hashlib.blake2b(encoder.encode(), digest_size=10)
        self.images = 0

    def add(self, image: Image) -> None:
        """Adds an image."""
        self._digest.update(repr((image.name, image.stamp)).encode())
        self.images += 1

    def __str__(self) -> str:
        return f"{self._digest.hexdigest()}-{self.images}"


class FeatureCache:
    """Arrays of one shape, one per image, in `.npy` files that are mapped to memory.

    Training reads the arrays in any order; the operating system decides which parts of the files stay in memory.

    Args:
        directory: Directory of the cache, which features of other images and encoders may share.
        key: `CacheKey` of these features, as a string.
        shape, dtype: Of the array of an image.
    """

    def __init__(self, directory: Path, key: str, shape: Sequence[int], dtype: DTypeLike) -> None:
        self.directory = directory / key
        self.key = key
        self.images = int(key.rsplit("-", 1)[1])
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        # Of the arrays that are taken: float16 in a graph makes oneDNN print errors on many CPUs.
        self.taken_dtype = np.dtype(np.float32) if self.dtype == np.float16 else self.dtype
        # Numbers of the files whose checksums were compared.
        self._intact: set[int] = set()

    def elsewhere(self, directory: Path) -> "FeatureCache":
        """Returns a cache of the same features in another directory."""
        return FeatureCache(directory, self.key, self.shape, self.dtype)

    @property
    def complete(self) -> bool:
        """Whether all images have been encoded."""
        return all(self._load(number) is not None for number in range(self._shard_count))

    def fill(self, images: Iterable[Image], encode: Callable[[tf.Tensor], tuple], what: str) -> None:
        """Encodes the missing images. A killed process leaves complete files, from which the next one resumes.

        Args:
            images: All images, in the order of the key; only those of missing files are read.
            encode: Turns a batch of images, string [batch], into arrays and error messages, string [batch].
            what: Name of the images in the progress bar.

        Raises:
            UnusableImagesError: If some images cannot be used; the others were encoded.
            UserError: If the features of an image are not finite.
        """
        if self.complete:
            return
        with self._locked():
            print(f"Encoding {self.images} {what} into {self.directory} ...", file=sys.stderr)
            unusable: dict[str, str] = {}
            with ProgressBar(f"encoding {what}", "images", self.images) as bar:
                for number, chunk in enumerate(chunks(images, _SHARD)):
                    if self._load(number) is None:
                        if self._path(number).exists():
                            print(f"{self._path(number)} is damaged; it is made again.", file=sys.stderr)
                        unusable |= self._encode(number, chunk, encode, bar)
                    else:
                        bar.update(len(chunk))
            if unusable:
                raise UnusableImagesError(unusable)
            write_json(
                self.directory / "about.json",
                {"images": self.images, "shape": self.shape, "dtype": self.dtype.name},
            )

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the arrays of some images, [numbers, ...], by their numbers from 0; those of float16 as float32."""
        taken = np.empty((len(numbers), *self.shape), self.taken_dtype)
        for position, number in enumerate(numbers):
            taken[position] = self._shards[number // _SHARD][number % _SHARD]
        return taken

    @cached_property
    def _shards(self) -> list[np.ndarray]:
        """The arrays of each file."""
        return [np.load(self._path(number), mmap_mode="r") for number in range(self._shard_count)]

    @property
    def _shard_count(self) -> int:
        return -(-self.images // _SHARD)

    def _path(self, number: int) -> Path:
        return self.directory / f"features-{number:05d}-of-{self._shard_count:05d}.npy"

    def _load(self, number: int) -> np.ndarray | None:
        """Maps a file to memory; returns None if it is missing, damaged or of another shape."""
        path = self._path(number)
        try:
            if number not in self._intact:
                verify(self.directory, path.name, advice="it is made again")
                self._intact.add(number)
            arrays = np.load(path, mmap_mode="r")
        # A UserError of `verify` is a ValueError.
        except (OSError, EOFError, ValueError):
            return None
        images = min(_SHARD, self.images - number * _SHARD)
        return arrays if (arrays.shape, arrays.dtype) == ((images, *self.shape), self.dtype) else None

    def _encode(self, number: int, chunk: list[Image], encode: Callable, bar: ProgressBar) -> dict[str, str]:
        """Writes the file of some images, unless some cannot be used; returns their errors by name."""
        shard = []
        unusable: dict[str, str] = {}
        for batch in chunks(chunk, _BATCH):
            contents, unread = zip(*map(_read, batch), strict=True)
            arrays, errors = encode(tf.constant(contents, tf.string))
            with np.errstate(over="ignore"):
                shard.append(arrays.numpy().astype(self.dtype))
            finite = np.isfinite(shard[-1]).reshape(len(batch), -1).all(axis=1)
            for image, reading, error, is_finite in zip(batch, unread, errors.numpy(), finite, strict=True):
                if reading or error:
                    unusable[image.name] = reading or error.decode()
                elif not is_finite:
                    raise UserError(
                        f"The image encoder gives features of {image.name} that are not numbers or too large for "
                        f"{self.dtype.name}; check its weights, and that it takes pixels from 0 to 255."
                    )
            bar.update(len(batch))
        if unusable:
            return unusable
        with replacing_listed(self._path(number)) as temporary:
            np.save(temporary, np.concatenate(shard))
        return unusable

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Waits until no other process fills this cache."""
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.directory))
            except LockedError:
                print(f"Another process is filling {self.directory}; waiting for it.", file=sys.stderr)
                stack.enter_context(locked(self.directory, wait=True))
            yield


def _read(image: Image) -> tuple[bytes, str]:
    """Returns the bytes of an image, and the error or ""."""
    try:
        return image.read(), ""
    except UserError as error:
        return b"", str(error)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
