"""The user's text files: recognised by their content, and errors that name file, line and byte."""

import codecs
import gzip
import io
import random
import re
import subprocess
import time
import unicodedata
import zipfile

import pytest

from unroll.common.errors import UserError
from unroll.common.normalization import nfc
from unroll.tasks.datasets import text_files
from unroll.tasks.datasets.text_files import open_bytes, open_text, read_lines

TEXT = "one\n\ncafé \x0b\x85 → 👍🏽 क़\n  three"


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def write(content, name="a.txt"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def refusal(path):
    """The sentence that refuses a file, without its directory."""
    with pytest.raises(UserError) as error:
        list(read_lines(path))
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(path.removesuffix("a.txt"))


@pytest.mark.parametrize("name", ["a.txt", "a", "a.pdf"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
def test_the_same_text_whatever_holds_it(file, encoding, newline, compress, name):
    mark = "\ufeff" if encoding.endswith("be") else ""
    content = (mark + TEXT.replace("\n", newline)).encode(encoding)
    path = file(compress(content), name)
    assert list(read_lines(path)) == nfc(TEXT).split("\n")
    with open_bytes(path) as opened:
        content = opened.read(5) + opened.read()
        assert content.decode() == nfc(TEXT).replace("\n", newline)
    assert opened.closed


def test_line_ends(file):
    assert list(read_lines(file(b"a\rb\n\r\nc\r\n"))) == ["a\rb", "", "c"]
    # Of old Macintosh files.
    assert list(read_lines(file(b"a\rb\r\rc\r"))) == ["a", "b", "", "c"]
    with open_text(file(b"a\rb\n\r\nc\r\n"), newline="") as opened:
        assert opened.read() == "a\rb\n\r\nc\r\n"


def test_byte_order_marks_of_joined_files_are_dropped(file, monkeypatch):
    for piece in (1, 2, 3, 1 << 16):
        monkeypatch.setattr(text_files, "_PIECE", piece)
        content = "\ufeff\none\n\ufefftwo\ufeff\n\ufeff"
        assert list(read_lines(file(content.encode("utf-8-sig")))) == ["", "one", "two\ufeff"]


def test_text_comes_in_normal_form_wherever_it_is_cut(file, monkeypatch):
    # Accents in the wrong order, Korean letters, an Indic vowel of two parts, and what has no composed form.
    text = "a\u0301\u0323e\u0323\u0301 \u1112\u1161\u11ab\u1100\u1161 \u0bc6\u0bbe \u0915\u093c \u212b\u2126 x\u0338"
    for piece in (1, 2, 3, 5, 1 << 16):
        monkeypatch.setattr(text_files, "_PIECE", piece)
        (line,) = read_lines(file(text.encode()))
        assert line == unicodedata.normalize("NFC", text) != text


def test_a_run_of_marks_takes_no_time_to_speak_of():
    text = "cafe\u0301 " + "\u0301\u0323" * 20_000
    begun = time.process_time()
    assert nfc(text) == "café " + "\u0301\u0323" * 20_000
    # The standard library took 1.2 seconds.
    assert time.process_time() - begun < 0.6


def zipped(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return content.getvalue()


BINARY = {
    "zip": (zipped("a.txt"), "a zip file; unpack it"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "a workbook or document of an office program"),
    "openpyxl": (zipped("docProps/app.xml"), "a workbook or document of an office program"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "an old office program"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "parquet": (b"PAR1\x15\x04\x15\x10", "a Parquet table"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "an image"),
    "bzip2": (b"BZh91AY&SY\x01\x02", "compressed by bzip2"),
    "xz": (b"\xfd7zXZ\0\0\x04", "compressed by xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04", "compressed by zstd"),
    "tar": (b"a.txt".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
    "tar.gz": (gzip.compress(b"a.txt".ljust(257, b"\0") + b"ustar\0"), "a tar archive"),
    "twice": (gzip.compress(gzip.compress(b"text\n")), "compressed twice"),
    "sqlite": (b"SQLite format 3\0\x10", "an SQLite database"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS.*git lfs pull"),
}


@pytest.mark.parametrize("kind", BINARY)
def test_a_file_of_another_kind_is_named(file, kind):
    content, name = BINARY[kind]
    assert re.match(f"a.txt is .*{name}", refusal(file(content)))


def test_bytes_that_are_not_utf_8_are_named_with_the_command_that_converts_them(file):
    said = refusal(file("Ein\nschöner\nCafé\n".encode("latin1")))
    assert said.startswith("a.txt, line 2, byte 4: 0xf6 is not UTF-8; if the file is in latin1")
    assert "`iconv -f latin1 -t utf-8 " in said
    said = refusal(file("Ein\n“Café”\n".encode("cp1252")))
    assert said.startswith("a.txt, line 2, byte 1: 0x93 is not UTF-8; if the file is in windows-1252")
    said = refusal(file("Ein\ncaf\nschöner\n".encode() + b"Caf\xe9\n"))
    assert said.startswith(
        "a.txt, line 4, byte 4: 0xe9 is not UTF-8, but the file before it is; correct the line"
    )
    assert "`iconv -c -f utf-8 -t utf-8 " in said


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "koi8-r"])
def test_encodings_of_other_scripts_are_not_taken_for_latin1(file, encoding):
    said = refusal(file("ok\nХороший фильм 映画はよかった\n".encode(encoding, "replace")))
    assert "line 2, byte 1" in said
    assert (
        "its encoding, such as shift_jis, gb18030, windows-1251 or latin1: `iconv -f ENCODING -t utf-8 "
        in said
    )


def test_text_may_stay_as_it_is_given(file):
    assert list(read_lines(file("cafe\u0301\n".encode("utf-16")), as_given=True)) == ["cafe\u0301"]


@pytest.mark.parametrize(
    ("name", "compress"),
    [("it's a.txt", bytes), ("it's a.txt", gzip.compress), ("it's a.txt.gz", gzip.compress)],
)
def test_the_command_converts(file, tmp_path, name, compress):
    path = file(compress("Ein “schöner”\n".encode("cp1252")), name)
    with pytest.raises(UserError) as error:
        list(read_lines(path))
    subprocess.run(["bash", "-c", str(error.value).split("`")[1]], check=True)
    assert list(read_lines(str(tmp_path / "utf8-it's a.txt"))) == ["Ein “schöner”"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ab\ncé".encode()[:-1], "line 2, byte 2: the file ends in the middle of a character"),
        (codecs.BOM_UTF16_LE + b"a\0\n\0b", "line 2, byte 1: the file ends in the middle of a character"),
        (codecs.BOM_UTF16_LE + b"a\0\0\xdc", "line 1, byte 5: 0x00 is no UTF-16-LE; save the file as UTF-8"),
        (b"one\ntwo\0\n", "line 2, byte 4 is NUL, which no text holds"),
        ("one\ntwo\n".encode("utf-16-le"), "line 1, byte 2 is NUL; .* `iconv -f utf-16le -t utf-8 "),
        ("one\ntwo\n".encode("utf-16-be"), "line 1, byte 1 is NUL; .* `iconv -f utf-16be -t utf-8 "),
        (b"surrogate \xed\xa0\x80", "line 1, byte 11: 0xed is not UTF-8"),
        (b"\n" * 200_000 + b"x" * 200_000 + b"\xff\n", "line 200001, byte 200001: 0xff is not UTF-8"),
        (b"a\0\xff", "line 1, byte 2 is NUL"),
        (random.Random(0).randbytes(1000), "is not UTF-8|is NUL"),
    ],
)
def test_where_a_file_is_no_text(file, content, said):
    assert re.match(f"a.txt, .*({said})", refusal(file(content)))


def test_lines_before_a_fault_are_read(file):
    lines = read_lines(file(b"line\n" * 100_000 + b"\xff\n"))
    assert next(lines) == "line"
    with pytest.raises(UserError, match="line 100001, byte 1"):
        list(lines)


@pytest.mark.parametrize("name", ["missing.txt", "missing.txt.gz", "folder", "folder.gz", "missing/a.txt"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    for folder in ("folder", "folder.gz"):
        (tmp_path / folder).mkdir()
    with pytest.raises(UserError) as error:
        open_bytes(str(tmp_path / name), "a list of images")
    assert str(error.value).startswith(f"{tmp_path / name} cannot be read: ")
    assert str(error.value).endswith(". Give a list of images.")
    assert str(error.value).count(name) == 1


def test_a_file_that_is_damaged_is_named_where_the_damage_shows(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a line\n" * 100_000)[:-50])
    lines = read_lines(str(path))
    assert next(lines) == "a line"
    with pytest.raises(UserError, match=r"a\.gz cannot be read: .*\. Give a text file, plain or \.gz\."):
        list(lines)
