"""The input of `unroll predict`: lines of a file, a column of a table, lines of a pipe or a terminal as they come."""

import codecs
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator
from io import FileIO

from ..common.errors import UserError
from .datasets.file_kinds import binary_kind, compressed_or_wide
from .datasets.tables import read_table, refuse_table
from .datasets.text_files import read_lines

_EXPECTED = "a text file, or - for standard input"
# Bytes of a read, and lines that are handed on together.
_READ = 1 << 16
_LINES = 64


def read_input(path: str, column: str | None = None) -> Iterator[Iterable[str]]:
    """Yields the inputs of a model in batches: the lines of a file at once, those of a pipe or a terminal as they come.

    Args:
        path: The file; - is standard input.
        column: Column of a table to read instead of lines.

    Raises:
        UserError: If the file cannot be read, or is a table and no column is named.
    """
    # The model's class brings texts into normal form; the paths of images stay as they are.
    if column:
        yield (text for (text,) in read_table(path, [column], chosen_by="--text_column", as_given=True))
        return
    if path == "-" and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise UserError("Standard input is closed; give texts, or --input=FILE.")
    try:
        waits = path == "-" or not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        waits = False
    if not waits or os.path.isdir(path):
        refuse_table(path, _EXPECTED)
        yield read_lines(path, _EXPECTED, as_given=True)
        return
    # By its file descriptor: `sys.stdin` would wait for a whole buffer.
    with open(0 if path == "-" else path, "rb", buffering=0, closefd=path != "-") as file:
        yield from incoming_lines(file)


def incoming_lines(file: FileIO, lines: int = _LINES) -> Iterator[list[str]]:
    """Yields the lines that have arrived, without waiting for more; asks for them if the file is a terminal.

    Args:
        file: The unbuffered file. Bytes that are not UTF-8 become U+FFFD.
        lines: Maximum number of lines to yield at a time.

    Raises:
        UserError: If the input begins as something else than UTF-8 text does.
    """
    prompt = "> " if file.isatty() and sys.stderr.isatty() else ""
    if prompt:
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        print(f"Type a line of input and press Enter; {end} ends.", file=sys.stderr)
    # The beginning of a line whose end has not come yet.
    begun: list[bytes] = []
    is_first = True
    # Removes the byte order mark that some programs write first.
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    while True:
        if prompt:
            print(end=prompt, file=sys.stderr, flush=True)
        content = file.read(_READ)
        if content is None:
            # Another program has set the pipe to answer at once, with nothing.
            select.select([file], [], [])
            continue
        if is_first and (kind := binary_kind(content) or compressed_or_wide(content)):
            raise UserError(f"The input is {kind.name}; {kind.advice}.")
        is_first = False
        *whole, last = content.split(b"\n")
        if whole:
            whole[0] = b"".join([*begun, whole[0]])
            begun = []
        begun.append(last)
        if not content:
            whole = [left] if (left := b"".join(begun)) else []
        for first in range(0, len(whole), lines):
            texts = [decoder.decode(line + b"\n") for line in whole[first : first + lines]]
            yield [text.rstrip("\r\n") for text in texts]
        if not content:
            break
    if prompt:
        print(file=sys.stderr)
