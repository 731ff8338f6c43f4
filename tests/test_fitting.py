"""Batches and epochs that follow the size of the data, and the lines of a training about its epochs."""

import dataclasses
import io
import sys
import threading
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import tensorflow_datasets as tfds

from unroll.common import progress_bar
from unroll.common.counts import counted
from unroll.common.options import memory_flags
from unroll.common.progress_bar import ProgressBar, interval, tracked
from unroll.tasks.datasets import public
from unroll.tasks.datasets.batching import BatchLimits, bucket, count_batches
from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.training.fitting import fitted
from unroll.tasks.training.journal import _epoch_line
from unroll.tasks.translation.config import TranslationConfig


@dataclasses.dataclass
class Data:
    """Examples of one length, or windows in lanes."""

    config: object
    run: SimpleNamespace

    @property
    def train_examples(self):
        return self.run.examples

    @property
    def steps(self):
        if self.run.windows:
            return self.run.windows
        buckets = [0] * bucket(self.run.length) + [self.run.examples]
        if self.run.spread:
            # As many examples in each of the shorter buckets.
            buckets = [self.run.examples // len(buckets)] * len(buckets)
        return count_batches(buckets, BatchLimits(self.run.length, self.config.batch_tokens))


def data(examples, length, windows=None, spread=False, **options):
    kind = LanguageModelingConfig if windows else SentimentConfig
    return Data(
        kind(**options), SimpleNamespace(examples=examples, length=length, windows=windows, spread=spread)
    )


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (1234, "1,234 epochs")]
)
def test_numbers_have_their_nouns(number, said):
    assert counted(number, "epoch") == said


@pytest.mark.parametrize(
    ("config", "command", "expected"),
    [
        (SentimentConfig(), "train", ["--batch_tokens=8192"]),
        (SentimentConfig(), "evaluate", []),
        # Validation during training is greedy.
        (TranslationConfig(), "train", ["--batch_tokens=8192"]),
        (TranslationConfig(), "evaluate", ["--beam_width=5"]),
        (LanguageModelingConfig(), "train", ["--truncation=128", "--batch=32"]),
        (LanguageModelingConfig(truncation=0), "train", ["--batch_tokens=8192"]),
    ],
)
def test_sizes_of_a_command(config, command, expected):
    assert memory_flags(config, command) == expected


@pytest.mark.parametrize(
    ("given", "fixed", "batch_tokens", "epochs"),
    [
        # The preset imdb on its own data, and on a few thousand sentences.
        (data(25_000, 240, epochs=4), [], 8192, 4),
        (data(3_800, 20, epochs=4), [], 1024, 6),
        (data(3_800, 20, epochs=4), ["batch_tokens"], 8192, 40),
        (data(3_800, 20, epochs=4), ["epochs"], 1024, 4),
        (data(3_800, 20, epochs=4), ["batch_tokens", "epochs"], 8192, 4),
        (data(3_800, 20, epochs=30), [], 1024, 30),
        # Batches do not get smaller than 16 examples.
        (data(300, 20), [], 512, 34),
        (data(3, 20), [], 8192, 100),
        # One batch of each length at first, and of half as many tokens, too.
        (data(480, 22, spread=True, epochs=4), [], 256, 14),
        (data(1, 1), [], 8192, 100),
        (data(64, 8, windows=2), [], 8192, 100),
        (data(64, 8, windows=2, epochs=150), [], 8192, 150),
        (data(6400, 8, windows=100, epochs=5), [], 8192, 5),
    ],
)
def test_small_data_gets_enough_steps(given, fixed, batch_tokens, epochs):
    found, said = fitted(given, fixed)
    assert (found.config.batch_tokens, found.config.epochs) == (batch_tokens, epochs)
    changes = [
        f"--{name}={getattr(found.config, name)} instead of {getattr(given.config, name)}"
        for name in ("batch_tokens", "epochs")
        if getattr(found.config, name) != getattr(given.config, name)
    ]
    assert bool(said) == bool(changes)
    assert all(change in said for change in changes)
    assert fitted(found, fixed) == (found, "")


CAPTIONING = {
    "train_loss": 2.34567,
    "bleu_4": 21.0987,
    "validation_loss": 12.3456,
    "perplexity": 123456.7,
} | {f"bleu_{n}": 99.9 for n in (1, 2, 3)}


@pytest.mark.parametrize("epoch", [1, 9, 100])
def test_lines_of_epochs_fit_100_columns(epoch):
    line = _epoch_line(epoch, 100, CAPTIONING, "12:34:56, 123:45:67 left", True)
    assert len(line) <= 100
    assert line.startswith(f"epoch {epoch}/100  train_loss 2.3457  bleu_4 21.10  ")
    assert line.endswith("  12:34:56, 123:45:67 left  (best)")


def test_numbers_have_four_figures():
    line = _epoch_line(
        1, 2, {"a": 0.00004, "b": 9.87654, "c": -98.7654, "d": 1e6, "e": 12345.6}, "00:01", False
    )
    assert line == "epoch 1/2  a 0.0000  b 9.8765  c -98.77  d 1e+06  e 12346  00:01"


@pytest.mark.parametrize(("seconds", "shown"), [(-1, "00:00"), (59.6, "01:00"), (3725, "1:02:05")])
def test_times_are_minutes_and_seconds(seconds, shown):
    assert interval(seconds) == shown


def test_a_log_file_gets_a_line_now_and_then(monkeypatch, capsys):
    times = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(times))
    assert list(tracked(iter("abcdefgh"), "reading", "letters", 8)) == [*"abcdefgh"]
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "reading: 3 of 8 letters, 01:15, 02:05 left",
        "reading: 6 of 8 letters, 02:30, 00:50 left",
    ]


def test_progress_of_resumed_and_of_endless_work(monkeypatch, capsys):
    times = iter(range(0, 10_000, 100))
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(times))
    with ProgressBar("epoch 2/3", "examples", 1000, 500) as bar:
        bar.update(100)
        bar.note(loss="0.5")
    with ProgressBar("reading", "lines") as bar:
        bar.update(1234)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 2/3: 600 of 1,000 examples, 01:40, 06:40 left",
        "reading: 1,234 lines, 01:40",
    ]


def test_short_work_leaves_a_log_file_alone(capsys):
    assert list(tracked(range(1000), "reading", "lines")) == list(range(1000))
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_repainted_while_nothing_is_counted(monkeypatch):
    painted = threading.Event()

    class Watched(Terminal):
        def write(self, text):
            if text.strip() and threading.current_thread() is not threading.main_thread():
                painted.set()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Watched())
    monkeypatch.setattr(progress_bar, "_REPAINT", 0.01)
    with ProgressBar("reading", "letters", 8):
        assert painted.wait(60)
    painted.clear()
    assert not painted.wait(0.05)


def test_a_terminal_gets_a_bar_that_goes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressBar("reading", "letters", 8) as bar:
        bar.update(8)
    *lines, last = sys.stderr.getvalue().split("\r")[:-1]
    assert any(line.startswith("reading:   0%|") and "0/8" in line for line in lines)
    assert not last.strip()


@pytest.mark.parametrize("stderr", [io.StringIO, Terminal])
def test_bars_of_tensorflow_datasets_are_for_terminals(monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr())
    disable = Mock()
    monkeypatch.setattr(tfds, "disable_progress_bar", disable)
    monkeypatch.setattr(tfds, "builder", Mock())
    public.builder.__wrapped__("imdb_reviews")
    assert disable.called == (stderr is io.StringIO)
