"""The workers of a training: this process alone, or several processes on one machine or more."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from ...common.errors import FailedError, UserError
from .cluster import Place

# Seconds in which a file that the chief has written appears on a shared file system.
_APPEARS = 10
# Seconds between looks at signals while a worker waits.
_LOOK = 0.2
# Name of a worker in TensorFlow's errors.
_TASK = re.compile(r"/job:\w+/(replica:\d+/)?task:\d+")
# Errors of a collective operation that another worker does not take part in any more.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class Workers:
    """The workers of a training. The first, the chief, prepares the data, evaluates, and alone writes files.

    Args:
        strategy: Their strategy.
        place: The place of this process among them.
    """

    def __init__(self, strategy: tf.distribute.Strategy, place: Place | None = None) -> None:
        self.strategy = strategy
        self.index = place.index if place else 0
        self.count = len(place.addresses) or 1 if place else 1

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief; true of a process without others."""
        return self.index == 0

    def each(self, number: float) -> list[float]:
        """Returns the number of each worker; waits for all of them."""
        if self.count == 1:
            return [number]
        own = tf.one_hot(self.index, self.count, tf.constant(number, tf.float64), dtype=tf.float64)
        total = _interruptible(lambda: self.strategy.reduce(tf.distribute.ReduceOp.SUM, own, axis=None))
        return total.numpy().tolist()

    def of_chief(self, number: float) -> float:
        """Returns the chief's number; waits for all workers."""
        return self.each(number)[0]

    def check_same(self, number: float, what: str) -> None:
        """Raises UserError in all workers if the number is not the same in all, with its name `what`."""
        numbers = self.each(number)
        if others := [index for index, other in enumerate(numbers) if other != numbers[0]]:
            raise UserError(
                f"Worker {others[0]} has other {what} than the chief; give all workers the same flags."
            )

    def check_all_see(self, path: Path) -> None:
        """Waits for the chief, which has written a file or folder.

        Raises:
            UserError: In all workers, if one of them does not see it.
        """
        self.each(0)
        sees = self.is_chief or _appears(path)
        if blind := [index for index, seen in enumerate(self.each(sees)) if not seen]:
            raise UserError(
                f"Worker {blind[0]} does not see {path}, which the chief has written; give a --workdir on a file "
                "system that all workers share, such as NFS."
            )


@contextmanager
def join(distribution: str, place: Place) -> Generator[Workers]:
    """Joins the workers of a training, within a `with` block.

    Args:
        distribution: Option of that name.
        place: The place of this process among them.

    Raises:
        FailedError: If another worker ends before the block does.
    """
    if not place.addresses:
        mirrored = distribution == "mirrored"
        yield Workers(tf.distribute.MirroredStrategy() if mirrored else tf.distribute.get_strategy())
        return
    try:
        workers = Workers(_multi_worker_strategy(place), place)
        yield workers
        # Nobody leaves while another one works.
        workers.each(0)
    except _LOST as error:
        found = _TASK.search(str(error))
        name = f" ({found.group()})" if found else ""
        raise FailedError(
            f"Another worker of this training{name} has ended or cannot be reached; its own output says why. Start all "
            "workers again by the same commands, which go on from the last checkpoint."
        ) from error


def _multi_worker_strategy(place: Place) -> tf.distribute.Strategy:
    count, own = len(place.addresses), place.addresses[place.index]
    role = "the chief" if place.is_chief else "a worker"
    print(
        f"Worker {place.index} of {count}, {role}, at {own}: waits for {', '.join(place.addresses)}.",
        flush=True,
    )
    # Python would handle a signal only after the connection.
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in earlier:
        signal.signal(number, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interruptible(work: Callable[[], Any]) -> Any:
    """Does work that may wait for long, so that Python handles signals meanwhile."""
    results: list[Any] = []
    errors: list[Exception] = []

    def do() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK)
    if errors:
        raise errors[0]
    return results[0]


def _appears(path: Path) -> bool:
    """Returns whether a path exists, or comes to exist soon: clients of network file systems remember for a while that
    it does not."""
    end = time.monotonic() + _APPEARS
    while True:
        # Makes such a client ask its server.
        if path.parent.exists():
            os.listdir(path.parent)
        if path.exists() or time.monotonic() > end:
            return path.exists()
        time.sleep(_LOOK)
