"""Predictions from a file to a file, in several processes; a killed one goes on where it was."""

import csv
import dataclasses
import gzip
import io
import math
import os
import shutil
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

from ..common.checksums import checksum_of_json
from ..common.errors import FailedError, UserError
from ..common.files import PARTIAL, behind_link, read_json, write_json
from ..common.json_lines import json_line
from ..common.locks import locked
from ..common.progress_bar import ProgressBar, tracked
from ..serving.loader import load_or_connect
from ..serving.model import Model
from ..serving.remote import is_address
from ..serving.versions import newest_version
from .datasets.fingerprints import fingerprints
from .incoming import read_input

# Lines that a process answers at a time; a killed command loses at most the work for these.
_CHUNK = 256
# Chunks that wait for each process, so that it never waits for the input.
_AHEAD = 2
_SUFFIXES = (".jsonl", ".json", ".tsv", ".jsonl.gz", ".json.gz", ".tsv.gz")


class Answers(NamedTuple):
    """The answers to some lines.

    Attributes:
        content: Their lines in the output file.
        header: Names of their columns, as a line.
        count: Number of lines.
        unusable: Number of inputs without an answer.
    """

    content: bytes
    header: bytes
    count: int
    unusable: int


@dataclasses.dataclass
class _Done:
    """What the unfinished output holds: `key` names the work, `size` is in bytes."""

    key: str
    lines: int = 0
    unusable: int = 0
    size: int = 0


def predict_file(
    model: str, source: str, column: str | None, output: str, workers: int, options: Mapping[str, Any]
) -> int:
    """Writes the result for each line of a file, in the order of the file.

    Args:
        model: Directory of an exported model, or its URL on a server.
        source: The input, as for `read_input`.
        column: Column of a table to read instead of lines.
        output: The file; its name ends in .jsonl, .json or .tsv, with .gz for compression.
        workers: Number of processes.
        options: Those of the model's `predict`.

    Returns:
        The number of lines.

    Raises:
        UserError: If a file cannot be used, another process writes the same output, or no input can be used.
        FailedError: If a process was killed.
    """
    path = Path(output)
    if not path.name.endswith(_SUFFIXES):
        raise UserError(f"--output={output} must end in {', '.join(_SUFFIXES)}.")
    _check_files(Path(source), path)
    if not is_address(model):
        model = os.fspath(newest_version(model).absolute())
    total = sum(1 for _ in tracked(_lines(source, column), "counting", "lines"))
    key = checksum_of_json([model, fingerprints([source]), column, path.name, dict(options)])
    target = behind_link(path)
    folder = target.with_name(PARTIAL + path.name)
    partial, kept = folder / path.name, folder / "done.json"
    with locked(folder):
        done = _done(partial, kept, key)
        format_of = _FORMATS[path.name.removesuffix(".gz").rpartition(".")[2]]
        rest = islice(_lines(source, column), done.lines, None)
        inputs = iter(lambda: list(islice(rest, _CHUNK)), [])
        # No process without work.
        workers = min(workers, max(1, math.ceil((total - done.lines) / _CHUNK)))
        with ProgressBar("predicting", "lines", total, done.lines) as bar, partial.open("ab") as file:
            file.truncate(done.size)
            for answers in _answered(inputs, workers, (model, dict(options), format_of)):
                content = answers.content if done.lines else answers.header + answers.content
                # Members of a gzip file follow each other.
                file.write(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
                file.flush()
                os.fsync(file.fileno())
                done.lines += answers.count
                done.unusable += answers.unusable
                done.size = file.tell()
                write_json(kept, dataclasses.asdict(done))
                bar.update(answers.count)
        os.replace(partial, target)
        # With the lock, where the system lets it go.
        shutil.rmtree(folder, ignore_errors=True)
    if done.lines and done.unusable == done.lines:
        raise UserError(f'No input of {done.lines} can be used; "error" in {path} says why.')
    return done.lines


def _check_files(source: Path, output: Path) -> None:
    """Raises UserError if the input cannot be read twice, or the output cannot replace what has its name."""
    if source.exists() and not (source.is_file() or source.is_dir()):
        raise UserError(
            f"--input={source} is a pipe or a device, and --output reads its input twice; save it as a file, or leave "
            "out --output."
        )
    if output.is_dir():
        raise UserError(f"--output={output} is a directory; give the name of a file.")
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"--output={output} is the file of --input; give another name.")


def _lines(source: str, column: str | None) -> Iterator[str]:
    return chain.from_iterable(read_input(source, column))


def _done(partial: Path, kept: Path, key: str) -> _Done:
    """Returns what a killed command has done of the same work."""
    if partial.exists() and kept.exists():
        try:
            done = _Done(**read_json(kept, ""))
        except (UserError, TypeError):
            return _Done(key)
        if done.key == key and done.size <= partial.stat().st_size:
            return done
    return _Done(key)


def _answered(inputs: Iterator[list[str]], workers: int, arguments: tuple[Any, ...]) -> Iterator[Answers]:
    """Yields the answers to lists of lines, in their order; `arguments` are those of `_Predictor`."""
    if workers == 1:
        predictor = _Predictor(*arguments)
        yield from map(predictor, inputs)
        return
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(pool, threads)
    waiting: deque[Future[Answers]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, arguments) as executor:
        try:
            for lines in inputs:
                with _without_interrupts():
                    waiting.append(executor.submit(_answer, lines))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise FailedError(
                f"One of {workers} processes has ended, perhaps for lack of memory; the same command goes on where it "
                "was, and fewer --workers need less."
            ) from error
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _without_interrupts() -> Generator[None]:
    """Delays Ctrl-C, also in processes that start here: until `_begin` they would print a stack trace each."""
    if sys.platform == "win32":
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class _Predictor:
    """Answers lists of lines.

    Args:
        model: Directory or URL of the model.
        options: Those of the model's `predict`.
        format_of: (results as dictionaries) -> their lines in the output, and its header.
    """

    def __init__(
        self, model: str, options: dict[str, Any], format_of: Callable[..., tuple[str, str]]
    ) -> None:
        self._model: Model = load_or_connect(model)
        self._options, self._format_of = options, format_of

    def __call__(self, lines: Sequence[str]) -> Answers:
        results = [result._asdict() for result in self._model.predict(lines, **self._options)]
        content, header = self._format_of(results)
        unusable = sum(bool(result.get("error")) for result in results)
        return Answers(content.encode("utf-8", "backslashreplace"), header.encode(), len(results), unusable)


# In a process of the pool.
_predictor: _Predictor | None = None


def _begin(*arguments: Any) -> None:
    """Loads the model of a process of the pool."""
    global _predictor
    # Ctrl-C ends it at once; the parent tells of it. SIGTERM is the parent's to handle, with which this process ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # The parent may be killed; it would wait for work for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _predictor = _Predictor(*arguments)


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _answer(lines: Sequence[str]) -> Answers:
    assert _predictor
    return _predictor(lines)


def _json_lines(results: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    return "".join(json_line(result) + "\n" for result in results), ""


def _tab_separated(results: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Returns rows, with JSON for lists and quotes around fields that need them, and the names of the columns."""
    return _rows([map(_field, result.values()) for result in results]), _rows([list(results[0])])


def _rows(rows: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, "excel-tab", lineterminator="\n").writerows(rows)
    return text.getvalue()


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json_line(value)


_FORMATS: dict[str, Callable[..., tuple[str, str]]] = {
    "jsonl": _json_lines,
    "json": _json_lines,
    "tsv": _tab_separated,
}
