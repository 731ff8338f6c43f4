"""Lays texts of any length in lanes of windows, for truncated backpropagation through time.

The text is cut into windows of `steps` characters. The windows form lanes: each lane is a contiguous stretch of the
text, and a batch holds the next window of every lane.

    text      to be or not to be, that is the question          (3 lanes, windows of 5; ^ is the boundary)

    lane 0    ^to b|e or |not t                  batch 0 = "^to b", "o be,", "he qu"
    lane 1    o be,| that| is t                  batch 1 = "e or ", " that", "estio"
    lane 2    he qu|estio|n                      batch 2 = "not t", " is t", "n"

A recurrent network that carries each row's state from batch to batch has read every lane from its start, although
gradients end at the edge of a window. A document begins with a new window. The state is reset there, and at the start
of a lane.

In another epoch, the windows of a lane may begin a few characters later, until a document begins:

    lane 1    be, t|hat i|s                      (offset 2)
"""

import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ...models.blocks.transpose import transpose_discrete
from ...models.text import BOUNDARY
from .batching import chunks
from .pipelines import untuned

# Windows read at a time.
_WINDOWS = 2048


class Window(NamedTuple):
    """A window of a document.

    Attributes:
        ids: int32 [steps + 1], the inputs of all steps, and the target of the last. A document begins with a boundary,
            and ends with one that is a target but not an input; boundaries fill the rest.
        length: Number of real steps.
        begins: Whether the document begins here.
    """

    ids: np.ndarray
    length: int
    begins: bool


def cut_windows(document: Iterable[np.ndarray], steps: int) -> Iterator[Window]:
    """Cuts a document, given as pieces of ids without boundaries, into windows."""
    rest, begins = np.full(1, BOUNDARY, np.int32), True
    for piece in document:
        rest = np.concatenate([rest, piece])
        # Keep one id back: the next window reads it, or the boundary follows.
        count = (len(rest) - 1) // steps
        for start in range(0, count * steps, steps):
            yield Window(rest[start : start + steps + 1], steps, begins)
            begins = False
        rest = rest[count * steps :]
    ids = np.full(steps + 1, BOUNDARY, np.int32)
    ids[: len(rest)] = rest
    yield Window(ids, len(rest), begins)


def count_windows(characters: int, steps: int) -> int:
    """Returns the number of windows that `cut_windows` makes of a document."""
    return characters // steps + 1


class Lanes:
    """A file of windows in the order of training.

    Each record holds the windows of one batch, int32 [lanes, steps + 3]: for each lane the ids of the window, its
    length, and whether the state is reset. Shorter lanes end with windows of length 0.

    Args:
        path: Path of the file.
        steps: Steps of a window.
        lanes: Number of lanes.
        windows: Number of windows in all lanes together.
    """

    def __init__(self, path: Path, steps: int, lanes: int, windows: int) -> None:
        self._path = path
        self._windows = windows
        self.steps = steps
        # A text with fewer windows than lanes has lanes of one window.
        self.lanes = min(lanes, windows)
        self.batches = -(-windows // self.lanes)
        self._row = 4 * (steps + 3)

    def write(self, windows: Iterable[Window]) -> None:
        """Writes the file, a window at a time; memory does not grow with the text."""
        empty = np.zeros(self.steps + 3, np.int32).tobytes()
        rows = self.batches * self.lanes
        number = 0
        # Not `np.memmap`, whose pages count as the process's memory.
        with self._path.open("wb", buffering=0) as file:
            for number, (ids, length, begins) in enumerate(windows, start=1):
                reset = begins or (number - 1) % self.batches == 0
                row = np.concatenate([ids, [length, reset]]).astype(np.int32)
                os.pwrite(file.fileno(), row.tobytes(), self._offset(number - 1))
            for missing in range(number, rows):
                os.pwrite(file.fileno(), empty, self._offset(missing))

    def read(self, offset: int = 0) -> tf.data.Dataset:
        """Reads the batches: `ids`, int32 [lanes, steps + 1]; `length`, int32 [lanes]; `reset`, bool [lanes].

        Args:
            offset: Characters by which the windows of a lane that begins within a document begin later, less than
                `steps`, up to the first document that begins in the lane; as many at its start are left out.
        """
        batches = self._read_records()
        if not offset:
            return batches
        nothing = {
            "ids": tf.zeros([self.lanes, self.steps + 1], tf.int32),
            "length": tf.zeros([self.lanes], tf.int32),
            "reset": tf.zeros([self.lanes], tf.bool),
        }
        following = self._read_records().skip(1).concatenate(tf.data.Dataset.from_tensors(nothing))

        def shift(begun: tf.Tensor, pair: tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]) -> tuple:
            here, after = pair
            begun |= tf.equal(here["ids"][:, 0], BOUNDARY)
            goes_on = tf.not_equal(after["ids"][:, 0], BOUNDARY)
            ids = tf.concat([here["ids"][:, offset:], after["ids"][:, 1 : offset + 1]], axis=1)
            more = tf.where(goes_on, tf.minimum(after["length"], offset), 0)
            length = tf.maximum(here["length"] - offset, 0) + more
            return begun, {
                "ids": tf.where(begun[:, None], here["ids"], ids),
                "length": tf.where(begun, here["length"], length),
                "reset": here["reset"],
            }

        pairs = tf.data.Dataset.zip((batches, following))
        return pairs.scan(tf.zeros([self.lanes], tf.bool), shift)

    def _read_records(self) -> tf.data.Dataset:

        def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.reshape(tf.io.decode_raw(record, tf.int32), [self.lanes, self.steps + 3])
            return {"ids": rows[:, :-2], "length": rows[:, -2], "reset": rows[:, -1] > 0}

        records = tf.data.FixedLengthRecordDataset(os.fspath(self._path), self._row * self.lanes)
        return untuned(records).map(parse, num_parallel_calls=2)

    def documents(self) -> Iterator[Iterator[np.ndarray]]:
        """Yields the documents of the text, each as pieces of ids without boundaries."""
        with self._path.open("rb") as file:
            # A document begins with a boundary; a lane may begin within one.
            starts = [
                number
                for number in range(self._windows)
                if np.frombuffer(os.pread(file.fileno(), 4, self._offset(number)), np.int32)[0] == BOUNDARY
            ]
        for start, stop in pairwise([*starts, self._windows]):
            yield self._pieces(start, stop)

    def _pieces(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Yields the ids of some successive windows, many windows at a time."""
        with self._path.open("rb") as file:
            for numbers in chunks(range(start, stop), _WINDOWS):
                read = [os.pread(file.fileno(), self._row, self._offset(number)) for number in numbers]
                rows = np.frombuffer(b"".join(read), np.int32).reshape(len(numbers), -1)
                # The targets of the real steps.
                real = np.arange(self.steps) < rows[:, -2:-1]
                ids = rows[:, 1:-2][real]
                yield ids[ids != BOUNDARY]

    def read_joined(self, steps: int) -> tf.data.Dataset:
        """Reads batches in which successive windows of a lane are joined.

        A row ends where its document does.

        Args:
            steps: Steps of a joined row, at least two windows if a lane has two.
        """
        joined = min(max(2, steps // self.steps), self.batches)

        def join(batches: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            """Joins windows: [windows, lanes, ...] -> [lanes, ...]."""
            ids, lengths = batches["ids"], batches["length"]
            rows = tf.reshape(
                transpose_discrete(ids[:, :, :-1], [1, 0, 2]), [self.lanes, joined * self.steps]
            )
            # A window continues the row if all windows before it are full and no document begins since the first.
            full = tf.concat([tf.ones_like(lengths[:1]), lengths[:-1] // self.steps], axis=0)
            same = tf.concat([tf.ones_like(lengths[:1]), 1 - tf.cast(batches["reset"][1:], tf.int32)], axis=0)
            length = tf.reduce_sum(lengths * tf.math.cumprod(full * same), axis=0)
            ids = tf.concat([rows, ids[-1, :, -1:]], axis=1)
            return {"ids": ids, "length": length, "reset": batches["reset"][0]}

        return self.read().batch(joined, drop_remainder=True).map(join)

    def _offset(self, number: int) -> int:
        """Returns the offset of a window in the file, in bytes."""
        lane, batch = divmod(number, self.batches)
        return (batch * self.lanes + lane) * self._row
