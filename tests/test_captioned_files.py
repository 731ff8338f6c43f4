"""Readers of the user's images, captions and lists."""

import os
import zipfile

import pytest
from captioned_images import image_of, write_captioned_images

from unroll.common.errors import UserError
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.captioning.data import read_splits
from unroll.tasks.captioning.files import read_captions, read_names
from unroll.tasks.datasets.image_files import ImageFiles


@pytest.mark.parametrize("zipped", [False, True])
def test_images_are_read_from_a_folder_or_a_zip_file(tmp_path, zipped):
    options = write_captioned_images(tmp_path, zipped)
    files = ImageFiles(options["images"])
    assert "red-left.png" in files
    assert "red" not in files
    assert files.read("red-left.png") == image_of("red", "left")
    assert files.stamp("red-left.png") != files.stamp("blue-left.png")
    with pytest.raises(UserError, match=r"has no image 'x\.png'"):
        files.read("x.png")


def test_pipes_and_links_to_nothing_in_a_folder_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nothing")
    (tmp_path / "image.png").write_bytes(b"image")
    files = ImageFiles(str(tmp_path))
    assert [name in files for name in ("pipe.png", "link.png", "image.png")] == [False, False, True]


def test_a_name_that_two_images_have_must_be_a_path(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.png").write_bytes(folder.encode())
    files = ImageFiles(str(tmp_path))
    assert files.read("b/same.png") == b"b"
    with pytest.raises(UserError, match=r"more than one image 'same\.png'"):
        files.read("same.png")


def test_a_changed_image_has_another_stamp(tmp_path):
    for name, content in (("one.zip", b"one"), ("two.zip", b"two")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.jpg", content)
    stamps = {ImageFiles(str(tmp_path / name)).stamp("a.jpg") for name in ("one.zip", "two.zip")}
    assert len(stamps) == 2


def test_what_is_neither_a_zip_nor_a_folder_is_refused(tmp_path):
    (tmp_path / "images.zip").write_text("no zip", encoding="utf-8")
    for name in ("images.zip", "missing"):
        with pytest.raises(UserError, match="Give a zip file or a folder"):
            ImageFiles(str(tmp_path / name))


def test_captions_are_gathered_by_image(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("a.jpg#0\tOne .\nb#1.jpg#0\tTwo\na.jpg#1\tThree\n\nc.jpg\tFour\n", encoding="utf-8")
    assert read_captions(str(path)) == {
        "a.jpg": ["One .", "Three"],
        "b#1.jpg": ["Two"],
        "c.jpg": ["Four"],
    }


@pytest.mark.parametrize("line", ["a.jpg#0 One", "a.jpg#0\t ", "#0\tOne"])
def test_a_line_of_another_form_is_named(tmp_path, line):
    path = tmp_path / "captions.txt"
    path.write_text(f"a.jpg#0\tOne\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2 is"):
        read_captions(str(path))


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "empty").touch()
    for read in (read_captions, read_names):
        with pytest.raises(UserError, match="is empty"):
            read(str(tmp_path / "empty"))
        with pytest.raises(UserError, match="cannot be read"):
            read(str(tmp_path / "missing"))


def splits_of(options, **changed):
    return read_splits(CaptioningConfig(**options | changed))


def names(splits, part):
    return [example.image.name for example in splits.read(part)]


def test_lists_make_the_parts(tmp_path):
    splits = splits_of(write_captioned_images(tmp_path))
    assert names(splits, "validation") == ["red-left.png", "red-right.png", "green-left.png"]
    assert len(names(splits, "test")) == 5
    example = next(splits.read("validation"))
    assert example.captions == ("A red field, on the left.", "the left half is red")
    assert example.image.read() == image_of("red", "left")


def test_the_order_of_training_images_says_nothing(tmp_path):
    splits = splits_of(write_captioned_images(tmp_path))
    order = names(splits, "train")
    assert order != sorted(order)
    assert order != [line for line in (tmp_path / "train.txt").read_text().splitlines()]
    assert len(set(order)) == 8


def test_without_a_training_list_the_rest_is_trained_on(tmp_path):
    options = write_captioned_images(tmp_path)
    del options["train_data"]
    assert set(names(splits_of(options), "train")) == {"white-right.png"}


def test_parts_without_a_list_are_cut_by_the_image(tmp_path):
    options = write_captioned_images(tmp_path)
    for part in ("train", "validation", "test"):
        del options[f"{part}_data"]
    splits = splits_of(options, validation_fraction=0.3, test_fraction=0.3, seed=3)
    parts = [set(names(splits, part)) for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 8
    assert all(parts)


def test_an_image_without_captions_and_captions_without_an_image(tmp_path):
    options = write_captioned_images(tmp_path)
    with (tmp_path / "train.txt").open("a", encoding="utf-8") as file:
        file.write("new.png\n")
    with pytest.raises(UserError, match=r"'new\.png' of the train list has no caption"):
        names(splits_of(options), "train")
    with (tmp_path / "captions.txt").open("a", encoding="utf-8") as file:
        file.write("new.png#0\tA new one.\n")
    with pytest.raises(UserError, match=r"'new\.png' of the train list has no file in .*images; add"):
        names(splits_of(options), "train")


def test_files_must_be_named_together(tmp_path):
    with pytest.raises(UserError, match="needs --captions"):
        CaptioningConfig(dataset="files", images="x")
    with pytest.raises(UserError, match="--images is for files"):
        CaptioningConfig(images="x")


# Names that differ in what cannot be seen, and captions of other forms.


def test_captions_as_kaggle_ships_them(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text('image,caption\na.jpg,"One, two ."\nb.jpg,Three\na.jpg,"A ""four"""\n', encoding="utf-8")
    assert read_captions(str(path)) == {"a.jpg": ["One, two .", 'A "four"'], "b.jpg": ["Three"]}
    path.write_text(
        "image_name| comment_number| comment\na.jpg| 0| One, two .\na.jpg| 1| Three\n", encoding="utf-8"
    )
    assert read_captions(str(path)) == {"a.jpg": ["One, two .", "Three"]}
    path.write_text('{"image": "a.jpg", "caption": "One"}\n', encoding="utf-8")
    assert read_captions(str(path)) == {"a.jpg": ["One"]}
    path.write_text("image,caption\na.jpg,\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2 has nothing in the column 'caption'"):
        read_captions(str(path))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Café.JPG", "cafe\u0301.jpg"),
        ("Cafe\u0301.jpg", "Café.jpg"),
        ("sub/Dog.jpg", "sub\\dog.JPG"),
        ("sub\\dog.jpg", "dog.jpg"),
        ("dog.jpg", "./dog.jpg"),
        ("sub/dog.jpg", "images/sub/Dog.jpg"),
        ("Straße.png", "STRASSE.png"),
    ],
)
def test_names_may_differ_in_case_accents_and_slashes(tmp_path, file, name, zipped):
    if zipped:
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            archive.writestr(file, b"dog")
    else:
        (tmp_path / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / file).write_bytes(b"dog")
    files = ImageFiles(str(tmp_path / ("images.zip" if zipped else "images")))
    assert name in files
    assert files.read(name) == files.read(file) == b"dog"
    assert files.find(name) == file


def test_names_in_utf_8_that_a_zip_file_does_not_announce(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("aXYb.jpg", b"dog")
    content = (tmp_path / "images.zip").read_bytes()
    (tmp_path / "images.zip").write_bytes(content.replace(b"aXYb.jpg", "aéb.jpg".encode()))
    assert ImageFiles(str(tmp_path / "images.zip")).read("ae\u0301b.jpg") == b"dog"


def test_names_that_differ_in_nothing_else_stay_apart(tmp_path):
    for name in ("dog.jpg", "Dog.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    files = ImageFiles(str(tmp_path))
    assert files.read("dog.jpg") == b"dog.jpg"
    assert files.read("Dog.jpg") == b"Dog.jpg"
    with pytest.raises(UserError, match=r"more than one image 'DOG\.jpg'"):
        files.read("DOG.jpg")


def test_captions_and_lists_may_name_an_image_in_different_forms(tmp_path):
    options = write_captioned_images(tmp_path)
    captions = (
        (tmp_path / "captions.txt").read_text(encoding="utf-8").replace("red-left.png#0", "RED-left.PNG#0")
    )
    (tmp_path / "captions.txt").write_text(captions, encoding="utf-8")
    (tmp_path / "validation.txt").write_text(
        "some\\..\\red-left.png\n".replace("some\\..\\", ".\\"), encoding="utf-8"
    )
    (example,) = splits_of(options).read("validation")
    assert example.captions == ("A red field, on the left.", "the left half is red")
    assert example.image.read() == image_of("red", "left")


def test_captions_without_an_image_that_no_list_names_are_counted_and_left_out(tmp_path, capsys):
    options = write_captioned_images(tmp_path)
    for part in ("train", "validation", "test"):
        del options[f"{part}_data"]
    with (tmp_path / "captions.txt").open("a", encoding="utf-8") as file:
        file.writelines(f"new-{number}.png#0\tA new one.\n" for number in range(30))
    splits = splits_of(options, validation_fraction=0)
    assert len(names(splits, "train")) == 8
    printed = capsys.readouterr().out
    assert printed.startswith("30 images that ")
    assert "new-0.png, new-1.png, " in printed
    assert printed.endswith("new-19.png and 10 more.\n")


def test_lists_of_other_parts_need_not_be_there(tmp_path):
    options = write_captioned_images(tmp_path)
    for part in ("train", "validation"):
        (tmp_path / f"{part}.txt").unlink()
    assert len(names(splits_of(options), "test")) == 5


def test_captions_of_other_images_altogether(tmp_path):
    options = write_captioned_images(tmp_path)
    del options["train_data"]
    (tmp_path / "captions.txt").write_text("a.png#0\tA.\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"has none of the images that .*captions\.txt names, such as 'a\.png'"
    ):
        list(splits_of(options).read("train"))


def test_all_images_that_a_list_lacks_are_named(tmp_path):
    options = write_captioned_images(tmp_path)
    with (tmp_path / "train.txt").open("a", encoding="utf-8") as file:
        file.write("new-1.png\nnew-2.png\n")
    with pytest.raises(
        UserError, match=r"2 images of the train list \(new-1\.png, new-2\.png\) have no caption"
    ):
        names(splits_of(options), "train")
    with (tmp_path / "captions.txt").open("a", encoding="utf-8") as file:
        file.write("new-1.png#0\tA.\nnew-2.png#0\tA.\n")
    with pytest.raises(
        UserError, match=r"2 images of the train list \(new-1\.png, new-2\.png\) have no file in"
    ):
        names(splits_of(options), "train")
