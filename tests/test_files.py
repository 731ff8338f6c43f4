"""Files and directories that appear complete or not at all."""

import pytest

from unroll.common.errors import UserError
from unroll.common.files import replacing, write_json


@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "to nothing"])
def test_a_link_stays_and_its_target_is_replaced(tmp_path, exists):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target.json", tmp_path / "link.json"
    if exists:
        target.write_text("old")
    link.symlink_to(target)
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert target.read_text() == '{\n "a": 1\n}\n'
    assert [path.name for path in target.parent.iterdir()] == ["target.json"]


def test_a_link_to_a_directory_stays(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir()
    (target / "old").touch()
    link.symlink_to(target)
    with replacing(link) as folder:
        folder.mkdir()
        (folder / "new").touch()
    assert link.is_symlink()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "link.json")
    with pytest.raises((UserError, OSError)):
        write_json(tmp_path / "link.json", {})


def test_nothing_is_replaced_after_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("newer")
    assert path.read_text() == "newer"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_file_does_not_replace_a_directory(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "folder") as temporary:
        temporary.write_text("content")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
