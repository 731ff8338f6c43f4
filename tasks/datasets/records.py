"""Rows of delimited text: fields, quotes, and the lines where they stand."""

import csv
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from ...common.errors import UserError

# A field may hold a long document; Python's limit is 128 KiB.
csv.field_size_limit(sys.maxsize)

_QUOTED = re.compile(r'(?:(?<=\t)|(?<=\n)|\A)"((?:[^"]|"")*+)"(?=\t|\r?\n|\Z)')
# Lines to look for the end of a quoted field in a TSV file, to learn whether it has such fields.
_LONGEST_FIELD = 1000
# Lines within one quoted field that look like rows of the table: so many are no text.
_SWALLOWED = 10


class Lines:
    """The lines of a table, with the position of the current row.

    Args:
        path: The file, for messages.
        lines: Its lines, with their ends.
    """

    def __init__(self, path: str, lines: Iterable[str]) -> None:
        self.path = path
        # The lines of the current row.
        self.row: list[str] = []
        self._lines = iter(lines)
        self._ahead: deque[str] = deque()
        self._read = 0

    def __iter__(self) -> Iterator[str]:
        while (line := self._ahead.popleft() if self._ahead else next(self._lines, None)) is not None:
            self._read += 1
            self.row.append(line)
            yield line

    @property
    def position(self) -> str:
        """File and line where the current row begins."""
        return self.at(0)

    def at(self, offset: int) -> str:
        """Returns file and line some lines after the beginning of the current row."""
        return f"{self.path}, line {self._read - len(self.row) + 1 + offset}"

    def first(self) -> str | None:
        """Returns the first line that is not blank, and skips those before it; the line itself is still to be read."""
        for line in self:
            if line.strip():
                self.unread()
                return line
            self.row.clear()
        return None

    def unread(self) -> None:
        """Puts the current row back."""
        self._ahead.extendleft(reversed(self.row))
        self._read -= len(self.row)
        self.row.clear()

    def ahead(self) -> Iterator[str]:
        """Yields the lines that are still to be read."""
        yield from list(self._ahead)
        for line in self._lines:
            self._ahead.append(line)
            yield line


def records(lines: Lines, delimiter: str) -> Iterator[list[str]]:
    """Yields the fields of each row, none for a blank line."""
    # In a TSV file, the first line with a quote tells whether quotes are part of the text.
    if delimiter == "\t":
        is_first = undecided = True
        for line in lines:
            if undecided and '"' in line:
                if _has_quoted_fields(line, lines.ahead(), is_first):
                    lines.unread()
                    break
                undecided = False
            is_first = False
            fields = line.rstrip("\r\n")
            yield fields.split("\t") if fields else []
            lines.row.clear()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width = 0
    while True:
        lines.row.clear()
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise _unclosed(lines, delimiter) from error
        if record is None:
            return
        # The delimiters of the header.
        width = width or max(0, len(record) - 1)
        inner = lines.row[1:-1]
        like_rows = sum(line.count(delimiter) == width for line in inner)
        if width and like_rows >= max(_SWALLOWED, 0.9 * len(inner)):
            raise _unclosed(lines, delimiter)
        yield record


def _has_quoted_fields(line: str, ahead: Iterator[str], is_first: bool) -> bool:
    """Returns whether a TSV file has quoted fields, as spreadsheets and pandas write them.

    Args:
        line: Its first line with a quote.
        ahead: The lines after that line.
        is_first: Whether it is the first line of the file.
    """
    quotes = line.count('"')
    several = [line]
    for following in islice(ahead, _LONGEST_FIELD):
        if quotes % 2 == 0:
            break
        several.append(following)
        quotes += following.count('"')
    text = "".join(several).rstrip("\r\n")
    fields = _QUOTED.findall(text)
    rest = _QUOTED.sub("", text)
    # Either all fields have quotes, those of the header, too, or only the fields that need them.
    everywhere = is_first and len(fields) == rest.count("\t") + 1
    needed = any('"' in field or "\t" in field or "\n" in field for field in fields)
    return '"' not in rest and (everywhere or needed)


def _unclosed(lines: Lines, delimiter: str) -> UserError:
    record = "".join(lines.row)
    line = record.count("\n", 0, _opening_quote(record, delimiter))
    return UserError(
        f'{lines.at(line)}: a quote begins a field there, and none ends the field; add it, or write "" for a quote '
        "that is part of a quoted field."
    )


def _opening_quote(record: str, delimiter: str) -> int:
    """Returns the position of the quote that is not closed as it should be, or else of the last that begins a field."""
    position = opening = 0
    while position < len(record):
        if record[position] == '"':
            opening = position
            field = re.compile(r'"(?:[^"]|"")*+"').match(record, position)
            if field is None or record[field.end() : field.end() + 1] not in (delimiter, "\r", "\n", ""):
                return opening
            position = field.end()
        following = record.find(delimiter, position)
        if following < 0:
            break
        position = following + 1
    return opening
