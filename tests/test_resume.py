"""Killed and damaged runs end as uninterrupted ones do; some flags may not change on resuming."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_training import best_weights, checkpoint_tensors, checkpoints, metrics_lines, tiny_options

from unroll.tasks import cli
from unroll.tasks.applications import read_config
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.sentiment.data import SentimentData
from unroll.tasks.training.checkpoints import Checkpoints
from unroll.tasks.training.interruption import Interrupted, Interruption
from unroll.tasks.training.journal import Journal
from unroll.tasks.training.run_directory import RunDirectory

# Longer than any training here takes, for a process that hangs.
TIMEOUT = 300


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Flags of a training in which everything random takes part."""
    options = tiny_options(tmp_path_factory.mktemp("data")) | {
        # The cell whose graph is made in the shortest time.
        "cell": "simple_rnn",
        "dropout": 0.3,
        "word_dropout": 0.2,
        "recurrent_dropout": 0.2,
        "average_decay": 0.9,
        "global_clipnorm": 0.5,
        # A batch has two tokens at least, so that an epoch has many steps.
        "batch_tokens": 32,
        # The last step of an epoch is one of these.
        "checkpoint_every": 3,
    }
    return [f"--{name}={value}" for name, value in options.items()]


@pytest.fixture(scope="module")
def undisturbed(flags, tmp_path_factory):
    """The directory of a run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(workdir, *flags) == 0
    return workdir


@pytest.fixture
def copy(undisturbed, tmp_path):
    """A copy of that run, to damage."""
    return Path(shutil.copytree(undisturbed, tmp_path / "run"))


def command(workdir, flags):
    return ["train", "sentiment", f"--workdir={workdir}", *flags]


def train(workdir, *flags):
    return cli.main(command(workdir, flags))


# Runs the command, and kills its process at the given moment: when Python is about to open or rename a file.
KILLED = """
import os, signal, sys

event, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])

def kill_in_time(happened, arguments):
    global times
    if happened == event and os.path.basename(str(arguments[event == "os.rename"])) == name:
        times -= 1
        if not times:
            os.kill(os.getpid(), signal.SIGKILL)

from unroll.tasks import cli

sys.addaudithook(kill_in_time)
sys.exit(cli.main(sys.argv[4:]))
"""


def kill_when(event, name, times, workdir, flags):
    """Trains, and kills the process just before something happens to a file for the given time.

    Args:
        event: "open", or "os.rename" to the name.
        name: Name of the file, without its folder.
        times: 1 for the first time, 2 for the second.
        workdir, flags: Of the run.
    """
    training = [sys.executable, "-c", KILLED, event, name, str(times), *command(workdir, flags)]
    assert subprocess.run(training, timeout=TIMEOUT).returncode == -signal.SIGKILL


def lines(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def saved_progress(workdir):
    progress = json.loads((checkpoints(workdir)[-1] / "progress.json").read_text(encoding="utf-8"))
    # It varies with the digits of the speed.
    del progress["file_sizes"]["metrics.jsonl"]
    return progress


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    different = [
        name
        for name in one
        if np.asarray(one[name]).tobytes() != np.asarray(other[name]).tobytes()
        and not name.startswith("_CHECKPOINTABLE")
    ]
    assert not different


def assert_same_run(workdir, undisturbed):
    """All files of two runs are equal, except for values that depend on the process."""
    assert [path.name for path in checkpoints(workdir)] == [path.name for path in checkpoints(undisturbed)]
    assert_same_bits(
        checkpoint_tensors(checkpoints(workdir)[-1]), checkpoint_tensors(checkpoints(undisturbed)[-1])
    )
    assert saved_progress(workdir) == saved_progress(undisturbed)
    assert_same_bits(best_weights(workdir), best_weights(undisturbed))
    assert (workdir / "best" / "metrics.json").read_text() == (
        undisturbed / "best" / "metrics.json"
    ).read_text()
    assert metrics_lines(workdir) == metrics_lines(undisturbed)


def test_checkpoint_holds_weights_optimizer_averages_and_random_state(undisturbed):
    names = checkpoint_tensors(checkpoints(undisturbed)[-1])
    for part in ("optimizer/_variables", "optimizer/_iterations", "average/averages", "model"):
        assert any(name.startswith(part) for name in names), part
    # Embedding, two directions of three weights each, and the last layer's two.
    assert sum(name.startswith("average/averages") for name in names) == 9
    random_state = [
        value for name, value in names.items() if name.startswith("model/") and value.dtype == np.int64
    ]
    # The model's own generator, and one in each direction; two draws a step.
    steps = saved_progress(undisturbed)["step"]
    assert [value[1] for value in random_state] == [2 * steps] * 3


# Killed.


def test_run_killed_in_each_of_its_stages_ends_with_the_same_bits(flags, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    kill_when("os.rename", "data", 1, workdir, flags)
    assert (workdir / "vocabulary").exists()
    assert (workdir / ".partial-data").exists()
    assert not (workdir / "data").exists()
    # In the first epoch, and in the last. The second process goes on after the first one's checkpoint.
    for written in (7, 14):
        kill_when("open", "metrics.jsonl", written + 1, workdir, flags)
    assert 17 < lines(workdir) < lines(undisturbed)
    saved = checkpoints(workdir)
    assert len(saved) == 2
    (saved[-1] / "tensors.index").write_bytes(b"")
    assert train(workdir, *flags) == 0
    assert_same_run(workdir, undisturbed)


# Where signals come, one after the other: in a method of a class, called for the given time since the run was resumed;
# and the steps that were saved since then, or None where their number does not matter.
SIGNALS = {
    "in the first step": (Journal, "step", 1, signal.SIGINT, 1),
    # The training part is read before.
    "while an epoch is evaluated": (SentimentData, "labelled", 1, signal.SIGINT, None),
    "in an epoch": (Journal, "step", 5, signal.SIGTERM, 5),
    "while a checkpoint is written": (Checkpoints, "save", 1, signal.SIGTERM, None),
}


def test_signals_save_checkpoints_from_which_the_run_ends_with_the_same_bits(
    flags, undisturbed, tmp_path, monkeypatch, capsys
):
    workdir, before = tmp_path / "run", 0
    for moment, (owner, method, times, number, steps) in SIGNALS.items():
        original, calls = getattr(owner, method), iter(range(1, 1000))

        def signalled(*arguments, calls=calls, times=times, number=number, original=original):
            if next(calls) == times:
                os.kill(os.getpid(), number)
            return original(*arguments)

        monkeypatch.setattr(owner, method, signalled)
        assert train(workdir, *flags) == 128 + number, moment
        monkeypatch.undo()
        error = capsys.readouterr().err.splitlines()[-1]
        saved = saved_progress(workdir)["step"]
        assert saved > before if steps is None else saved == before + steps, moment
        assert error.startswith(
            f"unroll: stopped after step {saved}, with a checkpoint; `unroll train sentiment --workdir="
        ), moment
        before = saved
    assert before < saved_progress(undisturbed)["step"]
    assert train(workdir) == 0
    assert_same_run(workdir, undisturbed)


def test_a_signal_before_the_first_step_says_what_begins_again(flags, tmp_path, monkeypatch, capsys):
    def signalled(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SentimentData, "_learn", signalled)
    assert train(tmp_path / "run", *flags) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.splitlines()[-1] == "unroll: stopped; the same command begins again."
    assert not RunDirectory(tmp_path / "run").has_begun


def test_the_second_signal_ends_the_process_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption, interruption.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.received == signal.SIGINT
        # Now the system's own handlers are in force.
        assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_DFL}
        with pytest.raises(Interrupted), interruption.deferred(False):
            pytest.fail("It was interrupted before.")
    assert signal.getsignal(signal.SIGINT) == before


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
        assert interruption.received is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_half_written_files_are_replaced(flags, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    for name in ("vocabulary", "data", "checkpoints/step-000000003-epoch-00000", "best/model.weights.h5"):
        partial = (workdir / name).with_name(f".partial-{Path(name).name}")
        partial.mkdir(parents=True)
        (partial / "half").write_bytes(b"half")
    shutil.copy(undisturbed / "config.json", workdir)
    assert train(workdir, *flags) == 0
    assert_same_run(workdir, undisturbed)
    assert not list(workdir.rglob(".partial-*"))
    assert not list(workdir.rglob("half"))


def test_run_killed_as_it_begins_begins_again(tmp_path):
    (tmp_path / ".partial-config.json").write_text("{", encoding="utf-8")
    RunDirectory(tmp_path).create("sentiment", SentimentConfig())
    assert read_config(RunDirectory(tmp_path)) == ("sentiment", SentimentConfig())


# Damaged.


def test_run_killed_before_the_last_checkpoint_ends_with_the_same_bits(flags, undisturbed, copy, capsys):
    # The other checkpoint is one of the same step, from before the epoch was evaluated.
    last = checkpoints(copy)[-1]
    assert last.name[:14] == checkpoints(copy)[-2].name[:14]
    shutil.rmtree(last)
    assert train(copy, *flags) == 0
    assert "Resuming after step" in capsys.readouterr().out
    assert_same_run(copy, undisturbed)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tensors.data-00000-of-00001", lambda content: content[: len(content) // 2]),
        ("tensors.data-00000-of-00001", lambda content: content[:-1]),
        ("tensors.data-00000-of-00001", lambda content: content[:100] + b"12345678" + content[108:]),
        ("tensors.index", lambda content: content[: len(content) // 2]),
        ("progress.json", lambda content: content[: len(content) // 2]),
        ("progress.json", lambda content: b"{}x"),
    ],
    ids=[
        "half the data",
        "data without its last byte",
        "overwritten data",
        "half the index",
        "half",
        "no JSON",
    ],
)
def test_damaged_checkpoint_gives_way_to_the_one_before(flags, undisturbed, copy, capsys, name, damage):
    newest = checkpoints(copy)[-1]
    (newest / name).write_bytes(damage((newest / name).read_bytes()))
    assert train(copy, *flags) == 0
    captured = capsys.readouterr()
    assert f"The checkpoint {newest} is damaged" in captured.err
    assert "Resuming after step" in captured.out
    assert_same_run(copy, undisturbed)


def test_damaged_checkpoints_are_a_user_error(flags, copy, capsys):
    for checkpoint in checkpoints(copy):
        (checkpoint / "tensors.index").unlink()
    assert_refused(capsys, train(copy, *flags), "No checkpoint in", "--workdir", warnings=2)


# Resumed with other flags.


def test_more_epochs_give_the_run_that_had_them_from_the_start(flags, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    assert train(workdir, *flags, "--epochs=1") == 0
    # Only the flag that changes is needed.
    assert train(workdir, "--epochs=3") == 0
    assert_same_run(workdir, undisturbed)
    assert read_config(RunDirectory(workdir)) == read_config(RunDirectory(undisturbed))


def test_a_finished_run_stays_as_it_is_and_says_so(flags, undisturbed, copy, capsys):
    assert train(copy) == 0
    assert "has ended: it has trained for 3 epochs; --epochs=4 or more goes on" in capsys.readouterr().out
    assert_same_run(copy, undisturbed)


@pytest.mark.parametrize(
    "flag",
    [
        "--units=9",
        "--seed=1",
        "--learning_rate=0.5",
        "--nobidirectional",
        "--monitor=f1",
        "--cell=lstm",
    ],
)
def test_options_that_would_make_it_another_run_are_refused(copy, capsys, flag):
    before = (copy / "config.json").read_bytes()
    name = flag.removeprefix("--").removeprefix("no").split("=")[0]
    assert_refused(capsys, train(copy, flag), f"--{name}=", "epochs", "--workdir")
    assert (copy / "config.json").read_bytes() == before


def test_options_can_be_mended_until_the_data_is_prepared(flags, tmp_path, capsys):
    workdir = tmp_path / "run"
    for missing in ("nowhere.tsv", "elsewhere.tsv"):
        assert_refused(capsys, train(workdir, *flags, f"--train_data={missing}"), missing)
    assert read_config(RunDirectory(workdir))[1].train_data == os.path.abspath("elsewhere.tsv")
    # Nothing of a failed attempt is used by the next: neither a mistake nor another option.
    wrong = ("--text_column=sentence", "--pooling=mean", "--units=4")
    assert_refused(capsys, train(workdir, *flags, *wrong), "no column 'sentence'")
    assert train(workdir, *flags, "--epochs=1") == 0
    mended = read_config(RunDirectory(workdir))[1]
    assert (mended.text_column, mended.pooling, mended.units) == ("text", "max", 8)
    capsys.readouterr()
    # From now on the options are those of the run.
    assert_refused(capsys, train(workdir, "--pooling=mean"), "--pooling=max, not mean")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"application": "sentiment"}',
        b'{"application": "sentiment", "config": {"unknown": 1}}',
        b'{"application": "sentiment", "config": {"dataset": "files"}}',
        b'{"application": "weather", "config": {}}',
    ],
)
def test_unusable_configurations_are_refused(tmp_path, capsys, content):
    (tmp_path / "config.json").write_bytes(content)
    assert_refused(capsys, train(tmp_path, "--epochs=2"), "config.json", "cannot be used")
    assert (tmp_path / "config.json").read_bytes() == content


@pytest.mark.parametrize("taken", ["a folder", "a file"])
def test_what_is_no_run_directory_is_left_alone(flags, tmp_path, capsys, taken):
    path = tmp_path / "taken"
    if taken == "a folder":
        path.mkdir()
        (path / "thesis.txt").write_text("precious", encoding="utf-8")
    else:
        path.write_text("precious", encoding="utf-8")
    assert_refused(capsys, train(path, *flags), "is not a run directory", "--workdir")
    assert [file.read_text() for file in tmp_path.rglob("*") if file.is_file()] == ["precious"]


def assert_refused(capsys, code, *parts, warnings=0):
    """Exit code 2, and a line of error that has all the parts."""
    assert code == 2
    *before, error = capsys.readouterr().err.splitlines()
    assert len(before) == warnings
    assert error.startswith("unroll: ")
    for part in parts:
        assert part in error
