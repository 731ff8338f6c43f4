"""Predictions from a file to a file: order, formats, and going on after a kill."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from unroll.common.locks import locked
from unroll.serving.loader import load
from unroll.tasks import bulk_prediction, cli

TEXTS = [
    f"The film {word} of number {n}.\twas dull"
    for n in range(4)
    for word in ("wonderful", "awful", "ünknown")
]


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file of lines, of which five are answered at a time."""
    monkeypatch.setattr(bulk_prediction, "_CHUNK", 5)
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def predict(model, source, output, *flags):
    return cli.main(["predict", f"--model={model}", f"--input={source}", f"--output={output}", *flags])


def test_results_are_in_the_order_of_the_input_in_each_format(exported_model, source, tmp_path, capsys):
    names = ("plain.jsonl", "packed.jsonl.gz", "table.tsv", "table.tsv.gz")
    for name in names:
        assert predict(exported_model, source, tmp_path / name) == 0
        assert capsys.readouterr().out == f"12 lines in {tmp_path / name}.\n"
    lines = (tmp_path / names[0]).read_text(encoding="utf-8")
    found = [json.loads(line) for line in lines.splitlines()]
    expected = load(exported_model).classify(TEXTS)
    assert [line["text"] for line in found] == TEXTS
    assert [line["label"] for line in found] == [result.label for result in expected]
    assert gzip.decompress((tmp_path / names[1]).read_bytes()).decode() == lines
    table = (tmp_path / names[2]).read_text(encoding="utf-8")
    assert gzip.decompress((tmp_path / names[3]).read_bytes()).decode() == table
    rows = [*csv.DictReader(table.splitlines(), delimiter="\t")]
    assert [row["text"] for row in rows] == TEXTS
    assert [json.loads(row["probabilities"]) for row in rows] == [line["probabilities"] for line in found]
    assert {path.name for path in tmp_path.iterdir()} == {source.name, *names}


def test_several_processes_give_the_same_file(exported_model, source, tmp_path):
    for workers in (1, 2):
        assert predict(exported_model, source, tmp_path / f"{workers}.jsonl", f"--workers={workers}") == 0
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


@pytest.mark.parametrize("changed", [False, True], ids=["same input", "changed input"])
def test_a_killed_prediction_goes_on(exported_model, source, tmp_path, monkeypatch, changed):
    answered, asked = bulk_prediction._Predictor.__call__, []

    def killed_at_the_third(predictor, lines):
        asked.append(lines)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return answered(predictor, lines)

    monkeypatch.setattr(bulk_prediction._Predictor, "__call__", killed_at_the_third)
    output = tmp_path / "results.jsonl"
    assert predict(exported_model, source, output) == 130
    assert not output.exists()
    partial = tmp_path / ".partial-results.jsonl" / "results.jsonl"
    assert partial.read_bytes().count(b"\n") == 10
    with partial.open("ab") as file:
        file.write(b'{"half')
    if changed:
        source.write_text("\n".join(reversed(TEXTS)) + "\n", encoding="utf-8")
    assert predict(exported_model, source, output) == 0
    assert [len(lines) for lines in asked[3:]] == ([5, 5, 2] if changed else [2])
    lines = [json.loads(line)["text"] for line in output.read_text(encoding="utf-8").splitlines()]
    assert lines == (TEXTS[::-1] if changed else TEXTS)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, output.name}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--output=x.jsonl"], "needs --input=FILE"),
        (["--output=x.jsonl", "--input=-"], "needs --input=FILE"),
        (["--workers=2", "--input=x.txt"], "--workers=2 needs --input=FILE and --output=FILE"),
        (["--input=x.txt", "--output=x.csv"], "x.csv must end in .jsonl"),
        (["--input=missing.txt", "--output=x.jsonl"], "missing.txt cannot be read"),
    ],
)
def test_what_cannot_be_written_is_refused(exported_model, capsys, flags, said):
    assert cli.main(["predict", f"--model={exported_model}", *flags]) == 2
    assert said in capsys.readouterr().err


def test_files_that_cannot_be_replaced_or_read_twice_are_refused(exported_model, source, tmp_path, capsys):
    same, pipe, folder = (tmp_path / name for name in ("same.jsonl", "pipe", "folder.jsonl"))
    same.symlink_to(source)
    os.mkfifo(pipe)
    folder.mkdir()
    for taken, written, said in (
        (source, same, "is the file of --input"),
        (pipe, tmp_path / "out.jsonl", "is a pipe or a device"),
        (source, folder, "is a directory"),
    ):
        assert predict(exported_model, taken, written) == 2
        assert said in capsys.readouterr().err
    assert source.read_text(encoding="utf-8").splitlines() == TEXTS


def test_a_link_stays_and_leads_to_the_results(exported_model, source, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link.jsonl", tmp_path / "elsewhere" / "target"
    link.symlink_to(target)
    assert predict(exported_model, source, link) == 0
    assert link.is_symlink()
    assert len(target.read_text(encoding="utf-8").splitlines()) == len(TEXTS)


def test_two_commands_do_not_write_the_same_file(exported_model, source, tmp_path, capsys):
    with locked(tmp_path / ".partial-out.jsonl"):
        assert predict(exported_model, source, tmp_path / "out.jsonl") == 2
    assert "Another process uses" in capsys.readouterr().err
    assert predict(exported_model, source, tmp_path / "out.jsonl") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_with_one_line(exported_model, tmp_path, number):
    """A terminal sends Ctrl-C to all of them, here while they start; a cluster may send SIGTERM to the first alone."""
    source, partial = tmp_path / "texts.txt", tmp_path / ".partial-out.jsonl" / "out.jsonl"
    source.write_text("\n".join(TEXTS * 100), encoding="utf-8")
    flags = [f"--model={exported_model}", f"--input={source}", f"--output={tmp_path / 'out.jsonl'}"]
    command = [sys.executable, "-m", "unroll.tasks.cli", "predict", *flags, "--workers=2"]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        while not partial.exists():
            time.sleep(0.01)
        # They load Python's modules.
        time.sleep(0.5)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, err = process.communicate()
    assert process.returncode == 128 + number
    assert [line for line in err.splitlines() if "predicting" not in line] == [
        "unroll: stopped; the same command goes on where it was."
    ]
