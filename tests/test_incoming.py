"""Lines of pipes and terminals, as they come, and JSON lines of results."""

import io
import json
import os
import struct
import sys
import threading

import pytest

from unroll.common.errors import UserError
from unroll.common.json_lines import json_line
from unroll.tasks.incoming import incoming_lines, read_input


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with io.FileIO(read) as file, io.FileIO(write, "w") as other:
        yield file, other


def test_whole_lines_come_at_once_and_beginnings_wait(pipe):
    file, other = pipe
    batches = incoming_lines(file, 3)
    other.write(b"one\ntwo\r\nthree\nfour\n\nsi")
    assert next(batches) == ["one", "two", "three"]
    assert next(batches) == ["four", ""]
    other.write(b"x\nseven")
    assert next(batches) == ["six"]
    other.close()
    assert list(batches) == [["seven"]]


def test_nothing_is_no_line(pipe):
    file, other = pipe
    other.close()
    assert list(incoming_lines(file)) == []


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", ["one", "\ufefftwo"]),
        (b"\xc3\n\xa9\n\xc3\xa9", ["\ufffd", "\ufffd", "é"]),
        ("a\u2028b\x85c\x0bd\n".encode(), ["a\u2028b\x85c\x0bd"]),
        (b"a\0b\n", ["a\0b"]),
    ],
)
def test_lines_end_at_line_feeds_and_are_utf_8(pipe, content, lines):
    file, other = pipe
    other.write(content)
    other.close()
    assert [line for batch in incoming_lines(file) for line in batch] == lines


def test_characters_and_lines_may_be_cut_anywhere(pipe):
    file, other = pipe
    batches = incoming_lines(file)
    content = "Amélie 😀\nх\n".encode()

    def write():
        for byte in content:
            other.write(bytes([byte]))
        other.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert [line for batch in batches for line in batch] == ["Amélie 😀", "х"]
    writer.join()


def test_a_line_may_be_long(pipe):
    file, other = pipe
    long = "x" * 1_000_000
    writer = threading.Thread(target=_write_all, args=(other, f"{long}\nend\n"))
    writer.start()
    assert [line for batch in incoming_lines(file) for line in batch] == [long, "end"]
    writer.join()


def _write_all(file, text):
    content = text.encode()
    while content:
        content = content[file.write(content) :]
    file.close()


def test_a_pipe_that_answers_at_once_is_waited_for(pipe):
    file, other = pipe
    os.set_blocking(file.fileno(), False)
    threading.Timer(0.05, _write_all, (other, "late\n")).start()
    assert list(incoming_lines(file)) == [["late"]]


def test_a_missing_file_of_texts_need_not_be_a_table(tmp_path):
    path = str(tmp_path / "missing.txt")
    with pytest.raises(UserError, match=r"cannot be read: .*\. Give a text file, or - for standard input\."):
        list(read_input(path))
    with pytest.raises(UserError, match=r"cannot be read: .*\. Give a TSV or CSV file or JSON lines"):
        list(*read_input(path, "text"))


def test_a_terminal_is_asked(monkeypatch):
    terminal, here = os.openpty()
    with io.FileIO(here) as file, open(here, "w", closefd=False) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        os.write(terminal, b"Good.\n")
        batches = incoming_lines(file)
        assert next(batches) == ["Good."]
        os.write(terminal, b"\x04")
        assert list(batches) == []
    shown = os.read(terminal, 1000).decode().replace("\r", "")
    os.close(terminal)
    # The terminal echoes the line before or after the first prompt.
    assert "Type a line of input and press Enter; Ctrl-D ends.\n" in shown
    assert shown.count("> ") == 2


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0.1, "0.1"),
        (0.2150000035762787, "0.215"),
        (1 / 3, "0.33333334"),
        (-16777216.0, "-16777216.0"),
        (16777217.0, "16777216.0"),
        (1e-45, "1e-45"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (1e300, "1e+300"),
        (0.0, "0.0"),
        (float("inf"), "Infinity"),
    ],
)
def test_floats_have_the_digits_of_float32(number, printed):
    number = struct.unpack("f", struct.pack("f", number))[0] if abs(number) < 1e39 else number
    assert json_line({"score": number}) == f'{{"score": {printed}}}'


def test_a_json_line_is_one_line():
    content = {"n_best": [("a\u2028\u2029\x85\n\r\x0b\x0c\x1c", 0.1)], "ü": {"a": [1, True, None, "é"]}}
    line = json_line(content)
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {
        "n_best": [["a\u2028\u2029\x85\n\r\x0b\x0c\x1c", 0.1]],
        "ü": {"a": [1, True, None, "é"]},
    }
    assert '"ü"' in line
