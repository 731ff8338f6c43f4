"""Ctrl-C and SIGTERM: the first lets a training save a checkpoint, the second ends the process at once."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTE = b"\nStopping: a checkpoint is saved first. Ctrl-C again ends at once, without one.\n"


class Interrupted(KeyboardInterrupt):
    """A signal ended the command.

    Args:
        number: Number of the signal.
        message: What was reached, and what goes on.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """Handles the signals within a `with` block of the main thread.

    Attributes:
        received: Number of the signal that has come; None: none yet.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._deferred = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # `nohup` and shells ignore signals on behalf of the user.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._earlier[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self, is_deferred: bool = True) -> Generator[None]:
        """Within the block a signal is noted instead of raised; `is_deferred=False` raises it, within such a block.

        Raises:
            Interrupted: If a signal that was noted before is now to be raised.
        """
        before, self._deferred = self._deferred, is_deferred
        try:
            if not is_deferred:
                self.check()
            yield
        finally:
            self._deferred = before

    def check(self) -> None:
        """Raises Interrupted if a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for known in self._earlier:
            signal.signal(known, signal.SIG_DFL)
        self.received = number
        if not self._deferred:
            raise Interrupted(number)
        # `print` may be interrupted itself.
        os.write(2, _NOTE)
