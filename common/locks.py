"""Locks of directories against other processes."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError

_NAME = ".lock"


class LockedError(UserError):
    """Another process holds the lock."""


@contextmanager
def locked(directory: Path, wait: bool = False) -> Generator[None]:
    """Locks a directory within a `with` block; the operating system gives the lock back if the process dies.

    Args:
        directory: The directory, which is made if it does not exist.
        wait: Whether to wait for another process.

    Raises:
        LockedError: If another process holds the lock.
        UserError: If the file system has no locks, or cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / _NAME, blocking=wait)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(f"Another process uses {directory}; wait for it or stop it.") from error
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES):
            raise UserError(
                f"{directory} cannot be written to ({error.strerror}); give another directory."
            ) from error
        raise UserError(
            f"{directory} cannot be locked against other processes ({error.strerror or error}); give a directory on a "
            "file system with locks."
        ) from error
    try:
        yield
    finally:
        lock.release()
