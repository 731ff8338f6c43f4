"""Long texts: reading in pieces, from files, and cutting into parts."""

import gzip
import io
import itertools
import unicodedata

import numpy as np
import pytest

from unroll.common.errors import UserError
from unroll.tasks.datasets import documents
from unroll.tasks.datasets.documents import Document, TextSplits, read_files, read_public, read_written
from unroll.tasks.datasets.splits import SPLITS

TEXT = "Amélie: naïve\r\n我爱你 👍🏽\0 \ufeff\U0010ffff\tend.\n"
NOT_UTF8 = b"caf\xe9 \xff\xfe cut \xf0\x9f\x91 over\xc0\xaflong \xe6\x88"
UNITS = ("characters", "bytes")


class Source(io.BytesIO):
    """Bytes that are read a piece at a time, and no more than asked for."""

    def read(self, size=-1):
        assert size == documents._PIECE
        return super().read(size)


def document(content, unit="characters", **part):
    content = content.encode() if isinstance(content, str) else content
    return Document(lambda: Source(content), unit, **part)


def numbers(content, unit):
    """The units of a text, read as a whole."""
    content = content.encode() if isinstance(content, str) else content
    if unit == "bytes":
        return list(content)
    return [ord(character) for character in content.decode("utf-8", "replace")]


def whole(document):
    """The units of a document in one list; each piece is int32."""
    pieces = list(document.pieces())
    assert all(piece.dtype == np.int32 for piece in pieces)
    return [int(number) for piece in pieces for number in piece]


def text_of(document):
    return "".join(map(chr, whole(document)))


@pytest.fixture(params=[1, 2, 3, 5, 1000])
def piece(request, monkeypatch):
    monkeypatch.setattr(documents, "_PIECE", request.param)
    return request.param


# A document.


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("content", [TEXT, NOT_UTF8, "", "a", b"\xe6", "aaaaaa"])
def test_pieces_join_to_the_text_wherever_they_are_cut(piece, content, unit):
    ours = document(content, unit)
    expected = numbers(content, unit)
    assert whole(ours) == expected
    assert ours.count() == len(expected)
    # It can be read again.
    assert whole(ours) == expected
    assert max((len(part) for part in ours.pieces()), default=0) <= piece + 1


@pytest.mark.parametrize("unit", UNITS)
def test_a_part_is_counted_in_units(piece, unit):
    expected = numbers(TEXT, unit)
    length = len(expected)
    positions = [0, 1, 2, 7, length - 1, length, length + 3]
    for start, stop in itertools.product(positions, [*positions, None]):
        if stop is not None and stop < start:
            continue
        part = document(TEXT, unit, start=start, stop=stop)
        assert whole(part) == expected[start:stop]
        assert part.count() == len(expected[start:stop])


def test_nothing_is_read_past_the_end_of_a_part(monkeypatch):
    monkeypatch.setattr(documents, "_PIECE", 4)
    source = Source(b"abcdefgh" * 1000)
    part = Document(lambda: source, "bytes", start=2, stop=7)
    pieces = part.pieces()
    assert bytes(next(pieces).tolist()) == b"cd"
    assert source.tell() == 4
    assert bytes(next(pieces).tolist()) == b"efg"
    assert next(pieces, None) is None
    assert source.closed


@pytest.mark.parametrize("unit", UNITS)
def test_a_document_is_written_as_it_is_read(piece, unit, tmp_path):
    for number, part in enumerate([{}, {"start": 3}, {"start": 2, "stop": 18}, {"stop": 0}]):
        for content in (TEXT, NOT_UTF8):
            path = tmp_path / f"{number}" / "0.txt"
            path.parent.mkdir(exist_ok=True)
            ours = document(content, unit, **part)
            ours.write(path)
            (again,) = read_written(path.parent, unit)
            assert whole(again) == whole(ours)
            if unit == "bytes" and not part:
                assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)


# Files.


@pytest.fixture
def files(tmp_path):
    """A folder with some texts, each of which holds its own name."""

    def path(name):
        return str(tmp_path / name)

    for name in ("b.txt", "a.txt", "c.text", "folder/d.txt", "folder/deeper/e.txt", "[a].txt", "b[12].txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{name} é", encoding="utf-8")
    (tmp_path / "f.txt.gz").write_bytes(gzip.compress("f.txt.gz é".encode()) + gzip.compress(b"!"))
    (tmp_path / "g.txt").mkdir()
    return path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.txt", ["a.txt"]),
        ("folder/d.txt", ["folder/d.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("*.te*", ["c.text"]),
        ("*/*.txt", ["folder/d.txt"]),
        ("folder/**", ["folder/d.txt", "folder/deeper/e.txt"]),
        ("**/*.txt", ["[a].txt", "a.txt", "b.txt", "b[12].txt", "folder/d.txt", "folder/deeper/e.txt"]),
        # A name before a glob, which would be a.txt, and nothing at all.
        ("[a].txt", ["[a].txt"]),
        ("b[12].txt", ["b[12].txt"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
    ],
)
def test_files_of_a_name_or_a_glob_in_the_order_of_their_names(files, pattern, names):
    texts = [text_of(document) for document in read_files(files(pattern), "characters")]
    assert texts == [f"{name} é" for name in names]


def test_a_gz_file_is_read_as_what_it_holds(files, piece):
    (compressed,) = read_files(files("f.txt.gz"), "characters")
    assert text_of(compressed) == "f.txt.gz é!"
    assert compressed.count() == 11
    (as_bytes,) = read_files(files("f.txt.gz"), "bytes")
    assert bytes(whole(as_bytes)) == "f.txt.gz é!".encode()


@pytest.mark.parametrize("pattern", ["missing.txt", "missing/*.txt", "g.txt", "folder", "g*", ""])
def test_no_file_says_what_to_give(files, pattern):
    given = files(pattern) if pattern else pattern
    with pytest.raises(UserError, match="There is no text file") as error:
        list(read_files(given, "characters"))
    assert given in str(error.value)


def damaged(fault):
    content = gzip.compress(b"".join(b"line %d\n" % number for number in range(2000)))
    return {
        "no gzip at all": b"just text\n",
        "cut short": content[:-20],
        "no known compression": content[:10] + b"\xff" + content[11:],
        "a byte changed": content[:200] + bytes([content[200] ^ 255]) + content[201:],
        "checksum changed": content[:-8] + bytes([content[-8] ^ 255]) + content[-7:],
    }[fault]


@pytest.mark.parametrize(
    "fault", ["no gzip at all", "cut short", "no known compression", "a byte changed", "checksum changed"]
)
@pytest.mark.parametrize("read", [whole, Document.count])
def test_a_damaged_gz_file_is_named(fault, read, tmp_path):
    path = tmp_path / "damaged.txt.gz"
    path.write_bytes(damaged(fault))
    (ours,) = read_files(str(path), "characters")
    with pytest.raises(UserError, match=r"damaged\.txt\.gz cannot be read") as error:
        read(ours)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("unit", UNITS)
def test_a_file_is_clean_text_whatever_its_encoding(unit, tmp_path):
    text = "cafe\u0301 \u0915\u093c\n" * 40_000
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "a.txt").write_text(text, encoding=encoding)
        (ours,) = read_files(str(tmp_path / "a.txt"), unit)
        assert whole(ours) == numbers(unicodedata.normalize("NFC", text), unit)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "content",
    [NOT_UTF8, b"a\0b", gzip.compress(b"%PDF-1.7"), b"PK\x03\x04"],
    # Names, since a compressed file holds the time: all processes of the suite must find the same tests.
    ids=["not UTF-8", "a zero byte", "a compressed PDF", "a zip archive"],
)
def test_a_file_without_text_is_refused(unit, content, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    (ours,) = read_files(str(tmp_path / "a.txt"), unit)
    with pytest.raises(UserError, match=r"a\.txt"):
        ours.count()


def test_a_file_that_went_away_is_named(tmp_path):
    path = tmp_path / "gone.txt"
    path.write_text("text")
    (ours,) = read_files(str(path), "characters")
    path.unlink()
    with pytest.raises(UserError, match=r"gone\.txt cannot be read"):
        ours.count()


def test_texts_of_a_public_set_are_documents_each(monkeypatch):
    rows = {"train": [("one é",), ("",), ("caf\udce9 \0",)]}
    asked = []

    def read_features(name, split, features):
        asked.append((name, features))
        return iter(rows[split])

    monkeypatch.setattr(documents.public, "read_features", read_features)
    texts = [text_of(document) for document in read_public("a/set", "train", "story", "characters")]
    assert texts == ["one é", "", "caf\ufffd \0"]
    as_bytes = [bytes(whole(document)) for document in read_public("a/set", "train", "story", "bytes")]
    assert as_bytes == ["one é".encode(), b"", b"caf\xe9 \0"]
    assert asked == [("a/set", ("story",))] * 2


# Parts of a text.


def parts(texts, fractions=(), unit="characters", **given):
    """The parts of some texts, by name: the text of each document."""

    def reader(texts):
        return lambda: (document(text, unit) for text in texts)

    given = {name: reader(texts) for name, texts in given.items()}
    splits = TextSplits({"train": reader(texts)} | given, dict(fractions))
    return {split: [text_of(part) for part in splits.read(split)] for split in SPLITS if split in splits}


LETTERS = "abcdefghijklmnopqrstuvwxyzäöü0123456789"


@pytest.mark.parametrize("number", [10, 11, 19, 101, 999, 1000, 1001])
def test_the_first_90_percent_are_for_training(number):
    text = (LETTERS * 30)[:number]
    cut = int(0.9 * number)
    assert parts([text], {"validation": 0.1}) == {"train": [text[:cut]], "validation": [text[cut:]]}
    assert parts([text], {"test": 0.1, "validation": 0}) == {"train": [text[:cut]], "test": [text[cut:]]}


def test_parts_are_cut_from_the_end_in_their_order():
    expected = {"train": ["abcdefg"], "validation": ["h"], "test": ["ij"]}
    for fractions in ({"test": 0.2, "validation": 0.1}, {"validation": 0.1, "test": 0.2}):
        assert parts([LETTERS[:10]], fractions) == expected


def test_shares_are_cut_exactly_where_floating_point_is_not_exact():
    found = parts(["x" * 1000], {"test": 0.05, "validation": 0.05})
    assert [len(found[split][0]) for split in SPLITS] == [900, 50, 50]


def test_units_are_counted_and_not_bytes(piece):
    text = "éé👍我éé👍我éé"
    assert parts([text], {"validation": 0.3}) == {"train": [text[:7]], "validation": [text[7:]]}
    as_bytes = parts(["éa"], {"validation": 0.4}, unit="bytes")
    assert as_bytes == {"train": ["\xc3"], "validation": ["\xa9a"]}


def test_a_document_is_divided_where_the_cut_is(piece):
    texts = ["abcd", "", "efghij", "kl", "mnopqrst"]
    assert parts(texts, {"test": 0.25, "validation": 0.5}) == {
        "train": ["abcd", "e"],
        "validation": ["fghij", "kl", "mno"],
        "test": ["pqrst"],
    }


def test_a_cut_between_documents_divides_none():
    texts = ["abcd", "", "ef", "gh"]
    assert parts(texts, {"test": 0.25, "validation": 0.25}) == {
        "train": ["abcd"],
        "validation": ["ef"],
        "test": ["gh"],
    }


@pytest.mark.parametrize("validation", [0.01, 0.1, 0.123, 0.4])
@pytest.mark.parametrize("test", [0.0, 0.07, 0.3])
def test_every_unit_is_in_one_part(validation, test, rng):
    texts = ["".join(rng.choice(list(LETTERS), size=size)) for size in (50, 0, 3, 170, 1, 1, 88)]
    cut = parts(texts, {"test": test, "validation": validation})
    assert "".join(itertools.chain(*cut.values())) == "".join(texts)
    total = len("".join(texts))
    for name, share in {"train": 1 - test - validation, "validation": validation, "test": test}.items():
        assert abs(len("".join(cut.get(name, []))) - share * total) < 1 + 1e-9


def test_given_parts_are_read_whole():
    given = {"validation": ["vali", "dation"], "test": ["", "test"]}
    expected = {"train": ["abcdefghij"], "validation": ["vali", "dation"], "test": ["test"]}
    assert parts(["abcdefghij"], **given) == expected
    # A given part is not cut from the training part as well.
    assert parts(["abcdefghij"], {"validation": 0.5, "test": 0.5}, **given) == expected
    assert parts(["abcdefghij"], {"validation": 0.5, "test": 0.2}, validation=["v"]) == {
        "train": ["abcdefgh"],
        "validation": ["v"],
        "test": ["ij"],
    }


def test_a_part_can_be_read_again():
    splits = TextSplits({"train": lambda: iter([document(LETTERS)])}, {"test": 0.5})
    assert "validation" not in splits
    assert "test" in splits
    first, second = ([text_of(part) for part in splits.read("test")] for _ in range(2))
    assert first == second == [LETTERS[len(LETTERS) // 2 :]]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_missing_part_says_how_to_get_one(split):
    splits = TextSplits({"train": lambda: iter([document("text")])}, {split: 0.0})
    with pytest.raises(UserError, match=rf"no {split} part.*--{split}_data.*--{split}_fraction"):
        next(splits.read(split))


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
@pytest.mark.parametrize("fractions", [{}, {"test": 0.1}])
def test_a_text_without_anything_in_it_says_so(texts, fractions):
    splits = TextSplits({"train": lambda: (document(text) for text in texts)}, fractions)
    for split in ("train", *fractions):
        with pytest.raises(UserError, match=f"The {split} part of the text is empty; give more text"):
            list(splits.read(split))


def test_a_part_that_is_too_small_names_the_share():
    splits = TextSplits({"train": lambda: iter([document("abc")])}, {"validation": 0.4, "test": 0.6})
    with pytest.raises(UserError, match=r"train part .* --validation_fraction=0\.4 and --test_fraction=0\.6"):
        list(splits.read("train"))


def test_documents_without_text_are_left_out():
    assert parts(["", "a", "", "", "b", ""]) == {"train": ["a", "b"]}
