"""Examples from the user's tables: CSV, TSV and JSON lines, recognised by their content."""

import csv
import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from ...common.counts import counted
from ...common.errors import UserError
from ...common.normalization import nfc
from .records import Lines, records
from .text_files import open_text

_EXPECTED = "a TSV or CSV file or JSON lines, plain or .gz"
_CHOSEN_BY = "--text_column and --label_column"
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


def read_table(
    path: str,
    columns: Sequence[str],
    *,
    filled: Collection[str] = (),
    chosen_by: str = _CHOSEN_BY,
    as_given: bool = False,
) -> Iterator[tuple[str, ...]]:
    """Yields the chosen columns of each row.

    JSON lines are objects, whose strings, numbers and truth values are read. In other files, the delimiter is the one
    that gives the header the chosen columns: a comma, a tab, a semicolon or a bar. Fields may be quoted; in TSV files,
    quotes are part of the text unless the file was written with quotes around the fields that need them.

    Args:
        path: The file; without JSON, with a header.
        columns: Names of columns.
        filled: Those of the columns that may not be blank.
        chosen_by: Flags that name the columns, for the error message.
        as_given: Whether to leave the text as it is, instead of in normal form.

    Raises:
        UserError: If the file cannot be read or has no rows, lacks a column, has a row with more or fewer fields than
            its header, or a quote that is not closed.
    """
    count = 0
    columns = [*map(nfc, columns)]
    with open_text(path, _EXPECTED, newline="", as_given=True) as file:
        lines = Lines(path, file)
        first = lines.first()
        if first is None:
            raise UserError(f"{path} is empty; a header with the names of the columns was expected.")
        if first.lstrip().startswith("["):
            raise UserError(
                f"{path} is a JSON array, but JSON lines were expected, one object on each line; convert it: "
                f"`jq -c '.[]' {shlex.quote(path)} > {shlex.quote(path.removesuffix('.gz'))}l`."
            )
        if first.lstrip().startswith("{"):
            rows = _json_rows(lines, columns)
        else:
            rows = _delimited_rows(lines, columns, _delimiter(path, first, columns, chosen_by), chosen_by)
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                if column in filled and not value.strip():
                    raise UserError(
                        f"{lines.position} has nothing in the column {column!r}; correct the line."
                    )
            count += 1
            yield row if as_given else tuple(map(nfc, row))
    if not count:
        raise UserError(f"{path} has a header, but no rows; at least one example was expected.")


def has_columns(path: str, columns: Sequence[str]) -> bool:
    """Returns whether a file is a table with some columns.

    Raises:
        UserError: If the file cannot be read.
    """
    with open_text(path, _EXPECTED, newline="") as file:
        first = Lines(path, file).first() or ""
    if first.lstrip().startswith("{"):
        try:
            return set(columns) <= _object(first).keys()
        except ValueError:
            return False
    return any(set(columns) <= {*_header(first, delimiter)} for delimiter in _DELIMITERS)


def read_tabbed(path: str, expected: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the fields of each line with the position of the line, from a file with tabs and without a header.

    Args:
        path: The file. Blank lines are skipped.
        expected: As for `open_text`.

    Raises:
        UserError: If the file cannot be read.
    """
    with open_text(path, expected, newline="") as file:
        lines = Lines(path, file)
        for fields in records(lines, "\t"):
            if any(map(str.strip, fields)):
                yield lines.position, fields


def refuse_table(path: str, expected: str) -> None:
    """Raises UserError if a file of lines was expected, and this one is a table by its name or content.

    Args:
        path: The file.
        expected: As for `open_text`.
    """
    with open_text(path, expected, newline="") as file:
        first = Lines(path, file).first() or ""
    columns: Collection[str] = ()
    if first.startswith("{"):
        with suppress(ValueError):
            columns = _object(first)
    elif path.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".tab")):
        columns = max((_header(first, delimiter) for delimiter in _DELIMITERS), key=len)
    if columns:
        raise UserError(
            f"{path} is a table with the columns {_listed(columns)}; choose the column to read with --text_column, or "
            "give a text file with a text on each line."
        )


def _delimiter(path: str, first: str, columns: Sequence[str], chosen_by: str) -> str:
    """Returns the delimiter that gives the header the columns; the one that the name promises if several do."""
    is_csv = path.lower().removesuffix(".gz").endswith(".csv")
    likely = sorted(_DELIMITERS, key=lambda delimiter: delimiter != ("," if is_csv else "\t"))
    headers = {delimiter: _header(first, delimiter) for delimiter in likely}
    for delimiter, header in headers.items():
        if set(columns) <= {*header}:
            return delimiter
    delimiter = max(headers, key=lambda delimiter: len(headers[delimiter]))
    raise _missing(path, headers[delimiter], delimiter, columns, chosen_by)


def _missing(
    path: str, header: Sequence[str], delimiter: str, columns: Sequence[str], chosen_by: str
) -> UserError:
    missing = next(column for column in columns if column not in header)
    separated = f", separated by {_DELIMITERS[delimiter]}" if len(header) > 1 else ""
    return UserError(
        f"{path} has no column {missing!r}; its columns are {_listed(header)}{separated}. Choose with {chosen_by}, or "
        "put the names of the columns into the first line."
    )


def _listed(columns: Iterable[str]) -> str:
    names = (" ".join(column.split()) for column in islice(columns, 20))
    return ", ".join(name if len(name) <= 40 else f"{name[:40]}..." for name in names)


def _names(fields: Iterable[str]) -> list[str]:
    return [nfc(field.strip()) for field in fields]


def _header(line: str, delimiter: str) -> list[str]:
    try:
        return _names(next(csv.reader([line], delimiter=delimiter)))
    except csv.Error:
        return []


def _delimited_rows(
    lines: Lines, columns: Sequence[str], delimiter: str, chosen_by: str
) -> Iterator[tuple[str, ...]]:
    rows = records(lines, delimiter)
    header = _names(next(rows))
    # A quote may join the first line with others.
    if not set(columns) <= {*header}:
        raise _missing(lines.path, header, delimiter, columns, chosen_by)
    for column in columns:
        if header.count(column) > 1:
            raise UserError(
                f"{lines.path} has {header.count(column)} columns {column!r}; rename all but one."
            )
    positions = [header.index(column) for column in columns]
    for record in rows:
        if not record:
            continue
        if len(record) != len(header):
            raise UserError(
                f"{lines.at(len(lines.row) - 1)}: {counted(len(record), 'field')}, but the header has {len(header)}, "
                f"separated by {_DELIMITERS[delimiter]}; correct the line."
            )
        yield tuple(record[position] for position in positions)


def _json_rows(lines: Lines, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for line in lines:
        if line.strip():
            try:
                fields = _object(line)
                yield tuple(_value(fields, column) for column in columns)
            except ValueError as error:
                raise UserError(
                    f"{lines.position}: {error}; JSON lines hold one object on each line, such as "
                    f"{json.dumps(dict.fromkeys(columns, '...'))}."
                ) from error
        lines.row.clear()


def _object(line: str) -> dict[str, Any]:
    """Returns the object of a JSON line; raises ValueError if it is none."""
    try:
        found = json.loads(line)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"this is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError("this is JSON, but no object")
    return found


def _value(fields: dict[str, Any], column: str) -> str:
    """Returns a field as text; raises ValueError if there is none."""
    if column not in fields:
        raise ValueError(f"the object has no {column!r}; it has {', '.join(map(repr, fields)) or 'nothing'}")
    value = fields[column]
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"{column!r} is {json.dumps(value)[:40]}, but a text was expected")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{column!r} has half a surrogate pair")
    return value
