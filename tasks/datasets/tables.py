"""Examples from the user's TSV and CSV files, plain or gzipped."""

import csv
import sys
from collections.abc import Iterator, Sequence

from ...common.errors import UserError
from .text_files import open_text

# A field may hold a long document; Python's limit is 128 KiB.
csv.field_size_limit(sys.maxsize)


def read_table(path: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields the chosen columns of each row.

    A name that ends in .csv or .csv.gz means commas and quotes; any other, tabs and no quotes. Bytes that are not UTF-8
    become surrogate escapes, so that encoding with `errors="surrogateescape"` restores them.

    Args:
        path: File with a header.
        columns: Names of columns in the header.

    Raises:
        UserError: If the file is missing, damaged or without rows, lacks a column, or has a row with more or fewer
            fields than its header.
    """
    rows = 0
    with open_text(path, "a TSV or CSV file, plain or .gz", newline="") as file:
        if path.removesuffix(".gz").endswith(".csv"):
            reader = csv.reader(file)
        else:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(reader, None)
        if header is None:
            raise UserError(f"{path} is empty; a header with the names of the columns was expected.")
        for column in columns:
            if column not in header:
                raise UserError(
                    f"{path} has no column {column!r}; its columns are {', '.join(header)}. Choose with "
                    "--text_column and --label_column."
                )
        positions = [header.index(column) for column in columns]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(row)} field(s), but the header has {len(header)}; "
                    "correct the line."
                )
            rows += 1
            yield tuple(row[position] for position in positions)
    if not rows:
        raise UserError(f"{path} has a header, but no rows; at least one example was expected.")
