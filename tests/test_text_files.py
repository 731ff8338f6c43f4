"""The user's text files: plain and compressed, and errors that name them."""

import gzip

import pytest

from unroll.common.errors import UserError
from unroll.tasks.datasets.text_files import open_bytes, open_text, read_lines

CONTENT = b"\xef\xbb\xbfone\r\n\r\ncaf\xe9 \x0b\x85\rtwo\n  three"


@pytest.fixture(params=["a.txt", "a.txt.gz"])
def path(request, tmp_path):
    path = tmp_path / request.param
    path.write_bytes(gzip.compress(CONTENT) if path.suffix == ".gz" else CONTENT)
    return str(path)


def test_lines_have_neither_ends_nor_a_byte_order_mark(path):
    assert list(read_lines(path)) == ["one", "", "caf\udce9 \x0b\udc85\rtwo", "  three"]
    assert list(read_lines(path, errors="replace"))[2] == "caf\ufffd \x0b\ufffd\rtwo"


def test_bytes_and_text_are_read_in_parts(path):
    with open_bytes(path) as file:
        assert file.read(5) + file.read() == CONTENT
    assert file.closed
    with open_text(path, newline="") as file:
        assert file.read().encode("utf-8", "surrogateescape") == CONTENT[3:]


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
