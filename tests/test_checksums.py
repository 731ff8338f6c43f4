"""Checksums beside files: damage of any kind is found, and a kill at any time leaves files that are accepted."""

import os

import pytest

from unroll.common import checksums
from unroll.common.checksums import MANIFEST, DamagedError, lists, replacing_listed, seal, verify
from unroll.common.errors import UserError
from unroll.common.files import read_json
from unroll.common.json_lines import JsonLines

DAMAGES = {
    "halved": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "a bit flipped": lambda content: content[:7] + bytes([content[7] ^ 16]) + content[8:],
    "longer": lambda content: content + b"\0",
}


@pytest.fixture
def sealed(tmp_path):
    """A directory with two files and a folder, and their checksums."""
    (tmp_path / "one.bin").write_bytes(bytes(range(200)))
    (tmp_path / "two.bin").write_bytes(bytes(range(1, 201)))
    (tmp_path / "some" / "folder").mkdir(parents=True)
    (tmp_path / "some" / "folder" / "three.txt").write_text(
        "dreißig Zeichen, oder auch mehr\n", encoding="utf-8"
    )
    seal(tmp_path)
    return tmp_path


def check(directory, *names):
    verify(directory, *names, advice="make it again")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["one.bin", "some/folder/three.txt"])
def test_damage_names_the_file_and_the_advice(sealed, name, damage):
    check(sealed)
    path = sealed / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for names in ((), (name,), (name.split("/")[0],)):
        with pytest.raises(DamagedError) as caught:
            check(sealed, *names)
        assert str(path) in str(caught.value)
        assert str(caught.value).endswith("; make it again.")
    # The other file is as it was.
    check(sealed, "two.bin")


def test_missing_and_swapped_files_are_found(sealed):
    one, two = sealed / "one.bin", sealed / "two.bin"
    one.rename(sealed / "other")
    two.rename(one)
    (sealed / "other").rename(two)
    with pytest.raises(DamagedError, match=r"one\.bin is damaged"):
        check(sealed)
    one.unlink()
    with pytest.raises(DamagedError, match=r"one\.bin is missing"):
        check(sealed)


@pytest.mark.parametrize("damage", [*DAMAGES, "a line"])
def test_a_damaged_manifest_is_found(sealed, damage):
    path = sealed / MANIFEST
    content = path.read_bytes()
    path.write_bytes(content.split(b"\n", 1)[1] if damage == "a line" else DAMAGES[damage](content))
    with pytest.raises(DamagedError, match=f"{MANIFEST}|is damaged|is missing"):
        check(sealed, "one.bin", "two.bin", "some")


def test_files_without_checksums_are_used_unchecked(tmp_path):
    (tmp_path / "old").write_text("of an earlier version", encoding="utf-8")
    check(tmp_path, "old")
    assert lists(tmp_path, "old") is None
    # Files that came later are no damage.
    seal(tmp_path)
    (tmp_path / ".DS_Store").write_text("!", encoding="utf-8")
    check(tmp_path)
    assert lists(tmp_path, "old")
    assert not lists(tmp_path, "ol")


@pytest.mark.parametrize("killed_at", range(5))
def test_a_kill_at_any_time_leaves_a_file_that_is_accepted(tmp_path, monkeypatch, killed_at):
    path = tmp_path / "weights"
    for content in ("first", "second"):
        with replacing_listed(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    renamed, replace = 0, os.replace

    def killing(source, target):
        nonlocal renamed
        if renamed == killed_at:
            raise KeyboardInterrupt
        replace(source, target)
        renamed += 1

    monkeypatch.setattr(os, "replace", killing)
    try:
        with replacing_listed(path) as temporary:
            temporary.write_text("third", encoding="utf-8")
    except KeyboardInterrupt:
        pass
    # The manifest, the file, and the manifest again.
    assert renamed == min(killed_at, 3)
    assert path.read_text(encoding="utf-8") == ("second" if renamed < 2 else "third")
    check(tmp_path, "weights")
    path.write_text("forth", encoding="utf-8")
    with pytest.raises(DamagedError):
        check(tmp_path, "weights")


def test_names_that_no_file_can_have(sealed):
    path = sealed / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"one.bin", b"on\0.bin"))
    with pytest.raises(DamagedError, match="is missing or cannot be read"):
        check(sealed)


def test_a_damaged_manifest_is_replaced_with_the_file(tmp_path):
    (tmp_path / MANIFEST).write_text("?", encoding="utf-8")
    with replacing_listed(tmp_path / "file") as temporary:
        temporary.write_text("content", encoding="utf-8")
    check(tmp_path, "file")


def test_large_files_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "_PIECE", 7)
    (tmp_path / "large").write_bytes(bytes(range(100)))
    seal(tmp_path)
    monkeypatch.undo()
    check(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": 1}x'])
def test_files_that_are_not_json_are_named(tmp_path, content):
    path = tmp_path / "counts.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"counts\.json cannot be used.*; make it again\.$"):
        read_json(path, "make it again")
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json", "make it again")


@pytest.mark.parametrize("line", [b"{", b"\xff", b"\0\0", b"[" * 100_000])
def test_damaged_lines_are_named(tmp_path, line):
    path = tmp_path / "gradient_flow.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n{"st')
    with pytest.raises(UserError, match=r"gradient_flow\.jsonl, line 2 is damaged.*; remove the line\.$"):
        JsonLines(path).read()
