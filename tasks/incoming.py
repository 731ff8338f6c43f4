"""Lines of a pipe or a terminal, as they come."""

import codecs
import select
import sys
from collections.abc import Iterator
from io import FileIO

from ..common.errors import UserError
from .datasets.file_kinds import binary_kind, compressed_or_wide

# Bytes of a read, and lines that are handed on together.
_READ = 1 << 16
_LINES = 64


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
