"""What surrounds a command does not change its result: home directories, stray files, locales, Keras' settings."""

import io
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from typing import NamedTuple

import pytest
from absl import flags as absl_flags

from unroll.common import flags, options
from unroll.common.errors import UserError
from unroll.serving import loader
from unroll.serving.server.options import ServerOptions
from unroll.tasks import applications, cli, commands
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.training.run_directory import RunDirectory

# Paths.

OWN_FLAGS = (cli._EvaluateFlags, cli._InspectFlags, cli._ExportFlags, cli._PredictFlags, ServerOptions)
PATHS = {
    option.field.name: option
    for config in (
        *OWN_FLAGS,
        *map(applications.config_class, applications.APPLICATIONS),
        *map(applications.predict_class, applications.APPLICATIONS),
    )
    for option in options.of(config)
    if option.field.metadata["is_path"] or option.field.metadata["is_name_or_path"]
}


def parsed(name, value):
    values = absl_flags.FlagValues()
    flags.define([PATHS[name]], values)
    values(["unroll", f"--{name}={value}"])
    return values[name].value


def test_all_flags_that_name_files_are_paths():
    assert {"workdir", "output", "model", "input", "train_data", "images", "plot"} <= PATHS.keys()


@pytest.mark.parametrize("name", PATHS)
def test_a_tilde_is_the_home_directory(monkeypatch, tmp_path, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parsed(name, "~/x y/ü.png") == str(tmp_path / "x y" / "ü.png")
    assert parsed(name, "./~/x.png") == os.path.abspath("~/x.png")
    assert parsed(name, "a/x~.png") == os.path.abspath("a/x~.png")


def test_paths_that_are_none_stay_as_they_are():
    assert parsed("image_encoder", "MobileNetV2") == "MobileNetV2"
    assert parsed("train_data", "x~.png") == os.path.abspath("x~.png")
    assert parsed("input", "-") == "-"
    assert parsed("model", "http://localhost:8501/demo") == "http://localhost:8501/demo"
    with pytest.raises(absl_flags.IllegalFlagValueError, match="there is no user 'nobody-at-all'"):
        parsed("workdir", "~nobody-at-all/run")


@pytest.mark.parametrize("name", PATHS)
def test_stores_are_refused_by_name(name):
    for store in ("gs://bucket/x.png", "s3://bucket/x.png", "hdfs://host/x.png"):
        scheme = store.split("//")[0]
        with pytest.raises(absl_flags.IllegalFlagValueError, match=f"{name}.* not {scheme}//.*mount"):
            parsed(name, store)


def test_a_tilde_in_a_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset=files", "--train_data=~/none.tsv", "--workdir=~/runs/x"]
    assert cli.main(["train", "sentiment", *flags]) == 2
    assert f"{tmp_path / 'none.tsv'} cannot be read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


# Run directories.

STRAY = (
    *("train.log", "train.log.1", "slurm-4711.out", "nohup.out", ".DS_Store", "Thumbs.db", ".gitkeep"),
    *("job.sh", "imdb.flags", ".nfs000001", "stderr.err"),
)


def test_a_new_run_may_begin_beside_stray_files(tmp_path):
    for name in STRAY:
        (tmp_path / name).write_text("stray", encoding="utf-8")
    for name in ("lost+found", "logs", ".Trash-1000"):
        (tmp_path / name).mkdir()
    RunDirectory(tmp_path).create("sentiment", SentimentConfig())
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in STRAY} == {"stray"}


@pytest.mark.parametrize("name", ["thesis.tex", "data", "vocabulary", "metrics.jsonl", "photo.jpg", "src"])
def test_a_directory_of_something_else_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "train.log").touch()
    with pytest.raises(UserError, match="exists and is not a run directory"):
        RunDirectory(tmp_path).create("sentiment", SentimentConfig())


# Encodings and settings.


def test_output_is_utf_8_whatever_the_locale(monkeypatch, capsys):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for encoding in ("ascii", "cp1252"))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(commands, "predict", lambda model, batches, changed: print("Größe ≤ ", *batches))
    monkeypatch.setattr(cli, "application_of", lambda model: "sentiment")
    assert cli.main(["predict", "--model=m", "naïve 語 🙂"]) == 0
    assert cli.main(["train", "wëather→"]) == 2
    print("\udce9", flush=True)
    for stream in (out, err):
        stream.flush()
    assert out.buffer.getvalue().decode("utf-8").split("\n") == ["Größe ≤  ['naïve 語 🙂']", "\\udce9", ""]
    assert "wëather→" in err.buffer.getvalue().decode("utf-8")


def test_locale_and_settings_of_keras_do_not_change_an_evaluation(trained_run, tmp_path):
    settings = {
        "backend": "torch",
        "floatx": "float64",
        "epsilon": 0.5,
        "image_data_format": "channels_first",
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings), encoding="utf-8")
    environment = os.environ | {
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "jax",
        "PYTHONIOENCODING": "ascii",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    command = [sys.executable, "-m", "unroll.tasks.cli", "evaluate", f"--workdir={trained_run}"]
    subprocess.run([*command, f"--output={tmp_path / 'there.json'}"], env=environment, check=True)
    assert cli.main([*command[3:], f"--output={tmp_path / 'here.json'}"]) == 0
    there, here = ((tmp_path / name).read_text(encoding="utf-8") for name in ("there.json", "here.json"))
    assert there == here


@pytest.mark.parametrize("errors", [["", ""], ["broken", ""], ["broken", "none"], []])
def test_predict_fails_when_no_input_can_be_used(monkeypatch, capsys, errors):
    class Result(NamedTuple):
        text: str
        error: str

    class Fake:
        def predict(self, batch, **options):
            return (Result("", error) for error in batch)

    monkeypatch.setattr(loader, "load_or_connect", lambda model: Fake())
    monkeypatch.setattr(loader, "application", lambda model: "captioning")
    is_refused = bool(errors) and all(errors)
    said = pytest.raises(UserError, match="No input of 2 can be used") if is_refused else nullcontext()
    with said:
        commands.predict("m", [[error] for error in errors], {})
    assert [json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()] == errors
