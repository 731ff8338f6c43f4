"""Messages for full disks and exhausted memory."""

import errno
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from ..common.errors import UserError

# With the system's words, which the errors of TensorFlow and HDF5 quote.
_DISK_FULL = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT)}


@contextmanager
def explained(destination: str, memory: Iterable[str] = (), advice: str = "give less") -> Generator[None]:
    """Turns the errors of a full disk and of exhausted memory into UserError.

    Args:
        destination: Path that the block writes to, for errors without a file name.
        memory: Flags that determine the block's memory, such as `--batch=32`.
        advice: Advice about these flags.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = _full_disk(error)
        if reason:
            where = getattr(error, "filename", None) or destination
            raise UserError(
                f"The disk is full ({reason} at {where}); free some space and run the same command again."
            ) from error
        if _is_out_of_memory(error):
            flags = " and ".join(memory)
            what_to_do = f" with {flags}; {advice}" if flags else "; run the command on a machine with more"
            raise UserError(f"Memory is exhausted{what_to_do}.") from error
        raise


def _full_disk(error: Exception) -> str | None:
    """Returns the system's words for a full disk or a full quota; None for any other error."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return _DISK_FULL[error.errno]
    text = str(error)
    return next((words for words in _DISK_FULL.values() if words in text), None)


def _is_out_of_memory(error: Exception) -> bool:
    # If the error is TensorFlow's, TensorFlow is loaded already; an import takes seconds.
    tensorflow = sys.modules.get("tensorflow")
    return isinstance(error, MemoryError) or (
        tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)
    )
