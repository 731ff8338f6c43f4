"""Progress of long work: a bar on a terminal, a line now and then in a log file."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")

# Seconds between lines where there is no terminal.
_EVERY = 60
# Seconds between repaints of a bar, so that its time goes on in a step that takes long.
_REPAINT = 1.0


class ProgressBar:
    """Shows on stderr how far the work in a `with` block is; short work prints nothing in a log file.

    Args:
        work: Name of the work.
        unit: Plural noun for what is counted.
        total: Number at the end; None if it is not known.
        done: Number done before.
    """

    def __init__(self, work: str, unit: str, total: int | None = None, done: int = 0) -> None:
        self._work, self._unit, self._total, self._done = work, unit, total, done
        self._first = done
        self._begun = self._shown = time.monotonic()
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, unit=f" {unit}", desc=work, disable=not terminal, leave=False
        )
        self._closed = threading.Event()
        self._painter = threading.Thread(target=self._repaint, daemon=True)
        if terminal:
            self._painter.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, number: int = 1) -> None:
        """Counts a part of the work."""
        self._done += number
        self._bar.update(number)
        now = time.monotonic()
        if self._bar.disable and now - self._shown >= _EVERY:
            self._shown = now
            print(self._line(now - self._begun), file=sys.stderr, flush=True)

    def note(self, **values: str) -> None:
        """Shows values behind the bar."""
        self._bar.set_postfix_str(", ".join(f"{name}={value}" for name, value in values.items()))

    def close(self) -> None:
        """Removes the bar."""
        self._closed.set()
        if self._painter.is_alive():
            self._painter.join()
        self._bar.close()

    def _repaint(self) -> None:
        while not self._closed.wait(_REPAINT):
            self._bar.refresh()

    def _line(self, seconds: float) -> str:
        of, left = "", ""
        if self._total is not None:
            of = f" of {self._total:,}"
            made = max(self._done - self._first, 1)
            left = f", {interval(seconds * (self._total - self._done) / made)} left"
        return f"{self._work}: {self._done:,}{of} {self._unit}, {interval(seconds)}{left}"


def tracked(items: Iterable[T], work: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yields items, and shows how many were; arguments as for `ProgressBar`."""
    with ProgressBar(work, unit, total) as bar:
        for item in items:
            yield item
            bar.update()


def interval(seconds: float) -> str:
    """Returns a number of seconds as minutes and seconds, such as 04:05, or hours, minutes and seconds."""
    return tqdm.format_interval(round(max(seconds, 0)))
