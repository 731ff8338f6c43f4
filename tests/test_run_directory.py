"""Run directories: what is kept, what is needed again, and where results go."""

import json
import os
import shutil
from pathlib import Path

import pytest

from unroll.common.errors import UserError
from unroll.tasks import cli
from unroll.tasks.applications import read_config
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.datasets import fingerprints, public
from unroll.tasks.datasets.sources import readers
from unroll.tasks.datasets.splits import Splits
from unroll.tasks.results import Results, name_of_other_data
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.training.progress import Progress
from unroll.tasks.training.run_directory import RunDirectory


@pytest.fixture
def run(trained_run, tmp_path):
    """A copy of a run of one epoch, to change."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def call(capsys, *arguments):
    code = cli.main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def assert_refused(capsys, arguments, *parts):
    code, _, err = call(capsys, *arguments)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("unroll:")]
    for part in parts:
        assert str(part) in line


# Options.


def test_options_that_were_changed_are_refused_with_the_way_out(run, capsys):
    path = run / "config.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"units": 6', '"units": 7'), encoding="utf-8")
    for command in (["evaluate"], ["train", "sentiment"], ["inspect"], ["export", "--output=x"]):
        arguments = [*command, f"--workdir={run}"]
        assert_refused(capsys, arguments, path, "is damaged", 'remove "checksum" from it')
    saved = json.loads(path.read_text(encoding="utf-8"))
    del saved["checksum"]
    path.write_text(json.dumps(saved), encoding="utf-8")
    assert read_config(RunDirectory(run))[1].units == 7


def test_lost_parts_of_a_run_are_missed(run, capsys):
    train = ["train", "sentiment", f"--workdir={run}", "--epochs=2"]
    for name in ("data", "vocabulary", "best/model.weights.h5"):
        (run / name).rename(run / "away")
        command = ["evaluate", f"--workdir={run}"] if name.startswith("best") else train
        assert_refused(capsys, command, f"{run / name} is missing", "restore it")
        (run / "away").rename(run / name)
    assert not list((run / "checkpoints").glob("*-epoch-00002"))


def test_early_stopping_says_what_goes_on():
    config = SentimentConfig(early_stopping_patience=2, epochs=9)
    assert Progress(epoch=8, epochs_since_best=1).end_of(config) is None
    assert "--early_stopping_patience than 2 goes on" in Progress(epoch=8, epochs_since_best=2).end_of(config)
    assert "--epochs=10 or more goes on" in Progress(epoch=9).end_of(config)


def test_a_moved_run_goes_on_and_is_evaluated(run, tmp_path, capsys):
    moved = run.rename(tmp_path / "elsewhere")
    assert call(capsys, "train", "sentiment", f"--workdir={moved}", "--epochs=2")[0] == 0
    code, out, _ = call(capsys, "evaluate", f"--workdir={moved}")
    assert (code, f"Written to {moved / 'metrics.json'}." in out) == (0, True)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


# Sources.


def test_fingerprints_notice_content_but_not_copies(tmp_path):
    paths = [tmp_path / "one.txt", tmp_path / "two.txt", tmp_path / "folder"]
    paths[2].mkdir()
    for path in (*paths[:2], paths[2] / "image.png"):
        path.write_text("content", encoding="utf-8")
    names = [str(path) for path in paths]
    kept = json.loads(json.dumps(fingerprints.fingerprints([*names, str(tmp_path / "missing")])))
    assert kept.keys() == {*names}

    def changed():
        return fingerprints.changed_file(kept, names)

    assert changed() is None
    os.utime(paths[0], (1, 1))
    assert changed() is None
    paths[0].write_text("consent", encoding="utf-8")
    assert changed() == names[0]
    paths[0].unlink()
    assert changed() is None
    (paths[2] / "image.png").write_text("longer content", encoding="utf-8")
    assert changed() == names[2]
    assert fingerprints.changed_file({}, names) == names[1]


def test_a_link_to_nothing_in_a_folder_is_no_change(tmp_path):
    (tmp_path / "link").symlink_to("nothing")
    kept = fingerprints.fingerprints([str(tmp_path)])
    assert fingerprints.changed_file(kept, [str(tmp_path)]) is None


def test_changed_and_missing_sources(run, reviews_table, tmp_path, capsys):
    source = Path(shutil.copy(reviews_table, tmp_path / "reviews.tsv"))
    flags = ["--dataset=files", f"--train_data={source}", "--validation_fraction=0.1", "--units=2"]
    flags += [f"--workdir={tmp_path / 'new'}", "--epochs=1", "--embedding_size=2", "--batch_tokens=9999"]
    assert call(capsys, "train", "sentiment", *flags)[0] == 0
    with source.open("a", encoding="utf-8") as file:
        file.write("One more.\tpositive\n")
    code, _, err = call(capsys, "train", "sentiment", *flags)
    assert (code, err.count(f"{source} has changed since this run prepared its data")) == (0, 1)
    code, _, err = call(capsys, "evaluate", f"--workdir={tmp_path / 'new'}", "--split=train")
    assert (code, err.count(f"{source} has changed since the run prepared its data")) == (0, 1)
    # The run has all that it needs.
    source.unlink()
    code, _, err = call(capsys, "train", "sentiment", f"--workdir={tmp_path / 'new'}", "--epochs=2")
    assert (code, "has changed" in err) == (0, False)
    assert call(capsys, "evaluate", f"--workdir={tmp_path / 'new'}", "--split=validation")[0] == 0
    assert_refused(capsys, ["evaluate", f"--workdir={tmp_path / 'new'}", "--split=train"], source)


def test_a_file_of_the_user_is_read_without_the_public_set(monkeypatch):
    def unavailable(name):
        raise UserError(f"{name} cannot be fetched.")

    monkeypatch.setattr(public, "available_splits", unavailable)
    config = SentimentConfig(dataset="imdb_reviews", test_data="mine.tsv")
    parts = readers(config, lambda path: [path], lambda name, split: [name])
    splits = Splits(parts, {"test": 0.1, "validation": 0.1})
    assert list(splits.read("test")) == ["mine.tsv"]
    for ask in (lambda: list(splits.read("train")), lambda: "validation" in splits, lambda: len(parts)):
        with pytest.raises(UserError, match="cannot be fetched"):
            ask()
    monkeypatch.setattr(public, "available_splits", lambda name: ["train", "test"])
    assert list(parts) == ["train", "test"]
    assert list(parts["train"]()) == ["imdb_reviews"]


def test_a_captioner_of_a_public_set_is_evaluated_on_images_of_the_user():
    config = CaptioningConfig()
    given = {"images": "/i.zip", "captions": "/c.txt", "test_data": "/t.txt"}
    assert config.changed(given).dataset == "files"
    assert config.changed({"beam_width": 2}).dataset == config.dataset
    with pytest.raises(
        UserError, match=r"--test_data alone cannot be evaluated.*; give --images, --captions"
    ):
        config.changed({"test_data": "/t.txt"})


# Results.


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, None),
        ({"beam_width": 3}, None),
        ({"test_data": "/own.tsv"}, None),
        ({"test_data": "/tmp/other.tsv.gz"}, "test-other"),
        ({"test_data": "/tmp/test.tsv"}, "test-test"),
        ({"test_data": "/tmp/my texts/*.txt"}, "test-data"),
        ({"test_data": "/tmp/größe 2"}, "test-größe-2"),
    ],
)
def test_results_on_other_data_have_another_name(given, name):
    assert name_of_other_data(given, SentimentConfig(test_data="/own.tsv")) == name


def test_the_metrics_of_the_standard_test_have_a_name_of_their_own(tmp_path):
    own, other = Results(tmp_path), Results(tmp_path, "test-mine")
    assert own.metrics("test").name == "metrics.json"
    assert own.metrics("validation").name == "metrics-validation.json"
    assert other.metrics("test").name == "metrics-test-mine.json"
    assert own.path("captions", "test", ".html").name == "captions-test.html"
    assert other.path("captions", "test", ".html").name == "captions-test-mine.html"


def test_evaluations_do_not_replace_the_standard_test(run, tmp_path, capsys):
    (run / "metrics.json").write_text("standard", encoding="utf-8")
    other = tmp_path / "other.tsv"
    other.write_text("text\tlabel\nGood.\tpositive\nBad.\tnegative\n", encoding="utf-8")
    for flag, name in (("--split=validation", "validation"), (f"--test_data={other}", "test-other")):
        code, out, _ = call(capsys, "evaluate", f"--workdir={run}", flag)
        assert code == 0
        assert f"Written to {run / f'metrics-{name}.json'}." in out
        assert json.loads((run / f"metrics-{name}.json").read_text(encoding="utf-8"))["accuracy"] >= 0
    assert (run / "metrics.json").read_text(encoding="utf-8") == "standard"


@pytest.fixture
def read_only(run, monkeypatch):
    """A run in which no file can be written."""
    monkeypatch.setattr("unroll.tasks.results.is_writable", lambda path: not Path(path).is_relative_to(run))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    yield run
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_read_only_run_is_evaluated_and_inspected(read_only, tmp_path, capsys):
    for command, kept in (("evaluate", "--output=FILE"), ("inspect", "--output=DIRECTORY")):
        code, out, err = call(capsys, command, f"--workdir={read_only}")
        assert code == 0
        assert "cannot be written to: the results are printed, but not kept; " + kept in err
        assert "not kept." in out.splitlines()[-1]
        assert len(out.splitlines()) > 3
    output = tmp_path / "metrics.json"
    code, out, _ = call(capsys, "evaluate", f"--workdir={read_only}", f"--output={output}")
    assert (code, f"Written to {output}." in out) == (0, True)
    assert "accuracy" in json.loads(output.read_text(encoding="utf-8"))


def test_places_that_cannot_be_written_to_are_found_at_once(run, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("unroll.tasks.commands.import_keras", lambda: pytest.fail("too late"))
    for command, path in (("evaluate", "m.json"), ("export", "m"), ("inspect", "report")):
        arguments = [command, f"--workdir={run}", f"--output={tmp_path / 'file' / path}"]
        assert_refused(capsys, arguments, tmp_path / "file", "cannot be written to")
