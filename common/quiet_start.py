"""Starts TensorFlow: without its start-up notes, and on GPUs with exact arithmetic."""

import gc
import os
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress

# Copies lines from a pipe to stderr, without the notes that TensorFlow prints on a machine without a GPU. It runs in a
# separate process, so that TensorFlow's last message before an abort passes, too.
_FILTER = """
import re, signal, sys

signal.signal(signal.SIGINT, signal.SIG_IGN)
notes = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|oneDNN custom operations are on"
    rb"|Could not find cuda drivers"
    rb"|failed call to cuInit"
    rb"|This TensorFlow binary is optimized to use available CPU instructions"
    rb"|To enable the following instructions: .* rebuild TensorFlow"
)
for line in sys.stdin.buffer:
    if not notes.search(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
_STDERR = 2
# Seconds that the last lines may take.
_TIMEOUT = 5


def import_tensorflow(without: Iterable[str] = ()) -> None:
    """Imports TensorFlow and finds its devices; afterwards both cost nothing and print nothing.

    Args:
        without: Packages that TensorFlow, or Keras, which it imports, takes only if they are there. Each takes time.
    """
    if "tensorflow" in sys.modules:
        # The libraries of GPUs are loaded by the first work on one, which may lie ahead.
        _ask_for_exact_arithmetic()
        return
    with _told("loading TensorFlow ..."), quiet_start(), _hidden(without), _kept():
        import tensorflow as tf

        # Looks for a GPU, and prints a note if it finds none.
        tf.config.list_physical_devices()


@contextmanager
def _told(what: str) -> Generator[None]:
    """Shows a line on a terminal while a block runs."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    print(what, end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print(" " * len(what), end="\r", file=sys.stderr, flush=True)


@contextmanager
def _hidden(names: Iterable[str]) -> Generator[None]:
    """Makes packages that were not imported yet unavailable in a block."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _kept() -> Generator[None]:
    """Keeps the garbage collector off whatever a block makes: the modules of an import stay to the end, and looking at
    them again and again takes a tenth of the time of small work."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def quiet_start() -> Generator[None]:
    """Drops the notes of a block that loads TensorFlow's libraries or looks for devices.

    The notes come from C++, before TensorFlow reads `TF_CPP_MIN_LOG_LEVEL`, so they are filtered out of file descriptor
    2. All other lines come through. Warnings and notes of later work are silenced unless that variable is set.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _ask_for_exact_arithmetic()
    with _filtered_stderr():
        yield


def _ask_for_exact_arithmetic() -> None:
    """Tells the libraries of GPUs, which read it when they are loaded, how to calculate; the user's settings win."""
    # GPUs would else round the factors of float32 products to 10 bits, and a row's answer would depend on its company.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    # With work memory of its own for each stream, cuBLAS gives the same bits in each run, in cuDNN's recurrences, too.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def _filtered_stderr() -> Generator[None]:
    """Sends file descriptor 2 through the filter; without one, if the process has no stderr or may start no other."""
    try:
        stderr = os.dup(_STDERR)
    except OSError:
        yield
        return
    try:
        child = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _FILTER], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
    except (OSError, ValueError):
        os.close(stderr)
        yield
        return
    assert child.stdin is not None
    os.dup2(child.stdin.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)
        child.stdin.close()
        # Any other process that the import has started may still write; its lines then pass the filter later.
        with suppress(subprocess.TimeoutExpired):
            child.wait(_TIMEOUT)
