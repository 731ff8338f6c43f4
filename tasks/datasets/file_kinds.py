"""Recognises files that hold no text by their first bytes."""

import re
from typing import NamedTuple

# Bytes that decide: a tar archive has its mark at 257.
HEAD = 512


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: Noun for it.
        advice: What to do with it.
    """

    name: str
    advice: str


_ARCHIVE = "unpack it, and give the text files in it"
_TABLE = "save its text as a UTF-8 text, CSV or TSV file"
_IMAGE = "give a text file instead"
_DOCUMENT = "save its text as a UTF-8 text file"

_OFFICE = re.compile(
    rb"PK\x03\x04.*(\[Content_Types\]\.xml|docProps/|xl/|word/|_rels/|opendocument)", re.DOTALL
)
# In order: the first that matches.
_KINDS = [
    (_OFFICE, Kind("a workbook or document of an office program (a zip file)", _TABLE)),
    (re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)"), Kind("a zip file", _ARCHIVE)),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1"), Kind("a workbook or document of an old office program", _TABLE)),
    (re.compile(rb"\s*%PDF-"), Kind("a PDF document", _DOCUMENT)),
    (re.compile(rb"\{\\rtf"), Kind("a document in rich text format", _DOCUMENT)),
    (re.compile(rb"PAR1[\x15\x19]"), Kind("a Parquet table", _TABLE)),
    (re.compile(rb"ARROW1\0|FEA1"), Kind("an Arrow table", _TABLE)),
    (re.compile(rb"Obj\x01"), Kind("an Avro table", _TABLE)),
    (re.compile(rb"SQLite format 3\0"), Kind("an SQLite database", _TABLE)),
    (re.compile(rb"\x89HDF\r\n"), Kind("an HDF5 file", _TABLE)),
    (re.compile(rb"\x93NUMPY"), Kind("a NumPy array", _TABLE)),
    (re.compile(rb"\x80[\x02-\x05][\x95\]}cX(]"), Kind("a Python pickle", _TABLE)),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP", re.DOTALL), Kind("an image", _IMAGE)),
    (re.compile(rb"RIFF....WAVE|ID3[\x02-\x04]|OggS\0|fLaC", re.DOTALL), Kind("a sound", _IMAGE)),
    (re.compile(rb"BZh[1-9]1AY&SY"), Kind("compressed by bzip2", "unpack it with bunzip2, or use gzip")),
    (re.compile(rb"\xfd7zXZ\0"), Kind("compressed by xz", "unpack it with unxz, or use gzip")),
    (re.compile(rb"\x28\xb5\x2f\xfd"), Kind("compressed by zstd", "unpack it with unzstd, or use gzip")),
    (re.compile(rb"\x1f\x8b"), Kind("compressed twice", "decompress it once with gunzip")),
    (re.compile(rb"7z\xbc\xaf|Rar!\x1a|\x04\x22\x4d\x18"), Kind("an archive", _ARCHIVE)),
    (re.compile(rb".{257}ustar", re.DOTALL), Kind("a tar archive", _ARCHIVE)),
    (re.compile(rb"\x7fELF|MZ\x90\0"), Kind("a program", _IMAGE)),
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec/"),
        Kind("a pointer of Git LFS, not the file itself", "fetch the file with `git lfs pull`"),
    ),
]  # fmt: skip


# Texts for a reader that decompresses and converts.
_COMPRESSED_OR_WIDE = [
    (
        re.compile(rb"\x1f\x8b"),
        Kind("compressed by gzip", "give a file with --input, or decompress it with zcat"),
    ),
    (
        re.compile(rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff"),
        Kind(
            "text in UTF-16 or UTF-32",
            "give a file with --input, or convert it with `iconv -f utf-16 -t utf-8`",
        ),
    ),
]


def binary_kind(head: bytes) -> Kind | None:
    """Returns the kind of a file that holds no text, or None for a file that may.

    Args:
        head: Its first `HEAD` bytes.
    """
    return _first(_KINDS, head)


def compressed_or_wide(head: bytes) -> Kind | None:
    """Returns the kind of a text that is compressed or not in UTF-8, or None."""
    return _first(_COMPRESSED_OR_WIDE, head)


def _first(kinds: list[tuple[re.Pattern[bytes], Kind]], head: bytes) -> Kind | None:
    return next((kind for pattern, kind in kinds if pattern.match(head)), None)
