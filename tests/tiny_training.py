"""Trainings that take a second: their data, options and files."""

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from unroll.tasks.applications import read_config, task_of
from unroll.tasks.data import PreparedData
from unroll.tasks.training.run_directory import RunDirectory

# Values that depend on the process, not on the run: speed, and number of compilations.
OF_THE_PROCESS = {"tokens_per_second", "data_wait_share", "compilations"}


class KilledError(Exception):
    """Ends a training as a kill does: without a checkpoint."""


class Kill(keras.callbacks.Callback):
    """Ends a training after a step, counted from 0."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if batch == self.step:
            raise KilledError


def write_reviews(path: Path, rows: int, seed: int) -> str:
    """A table of short texts whose label one word decides."""
    chance = random.Random(seed)
    lines = ["text\tlabel"]
    for number in range(rows):
        words = chance.choices(["film", "plot", "kettle", "the", "a"], k=chance.randint(1, 11))
        opinions, label = (["good", "fine"], "positive") if number % 2 else (["bad", "dull"], "negative")
        words.insert(chance.randint(0, len(words)), chance.choice(opinions))
        lines.append(" ".join(words) + "\t" + label)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def tiny_options(directory: Path) -> dict:
    """Options of a tiny training on 60 rows, which are written to a directory."""
    return {
        "dataset": "files",
        "train_data": write_reviews(directory / "train.tsv", rows=60, seed=0),
        "validation_data": write_reviews(directory / "validation.tsv", rows=20, seed=1),
        "min_count": 1,
        "max_length": 16,
        "batch_tokens": 64,
        "shuffle_buffer": 16,
        "units": 8,
        "embedding_size": 8,
        "epochs": 3,
        "log_every": 2,
        "learning_rate": 0.01,
        # The plainest training of the plainest model.
        "schedule": "constant",
        "word_dropout": 0.0,
        "ngrams": 0,
        "segment": 0,
    }


def text_of(characters: int, seed: int) -> str:
    """A learnable text of a given length, with some characters beyond ASCII."""
    chance = random.Random(seed)
    words = ["the cat ", "sat on ", "a mat. ", "où est ", "l'été? ", "\n"]
    return "".join(chance.choice(words) for _ in range(characters))[:characters]


def write_texts(directory: Path, lengths: Sequence[int], seed: int = 0) -> str:
    """A file for each length; the glob that names them all."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, length in enumerate(lengths):
        text = text_of(length, seed=1000 * seed + number)
        (directory / f"{number:03d}.txt").write_text(text, encoding="utf-8")
    return str(directory / "*.txt")


def tiny_text_options(train_data: str) -> dict:
    """Options of a tiny training on some texts, all of which are trained on."""
    return {
        "dataset": "files",
        "train_data": train_data,
        "validation_fraction": 0.0,
        "test_fraction": 0.0,
        "truncation": 8,
        "batch": 3,
        "units": 6,
        "epochs": 1,
        "log_every": 2,
        "learning_rate": 0.02,
    }


_NOUNS = {"dog": "Hund", "cat": "Katze", "man": "Mann", "house": "Haus", "river": "Fluß"}
_ADJECTIVES = {"small": "kleine", "old": "alte", "red": "rote"}
_VERBS = {"sleeps": "schläft", "falls": "fällt"}
_ADVERBS = {"today": "heute", "here": "hier", "often": "oft"}


def sentence_pair(chance: random.Random) -> tuple[str, str]:
    """An English sentence, and the only translation that it has: a word for a word, in another order."""
    noun, adjective, verb, adverb = (
        chance.choice(sorted(words.items())) for words in (_NOUNS, _ADJECTIVES, _VERBS, _ADVERBS)
    )
    if chance.random() < 0.3:
        return f"The {noun[0]} {verb[0]}.", f"Das {noun[1]} {verb[1]}."
    if chance.random() < 0.3:
        return f'"The {adjective[0]} {noun[0]}!"', f"„Das {adjective[1]} {noun[1]}!“"
    return (
        f"The {adjective[0]} {noun[0]} {verb[0]} {adverb[0]}, the {noun[0]}.",
        f"{adverb[1]}, das {noun[1]}, {verb[1]} das {adjective[1]} {noun[1]}.",
    )


def write_pairs(prefix: Path, rows: int, seed: int) -> str:
    """Writes PREFIX.en and PREFIX.de.gz with a given number of sentences."""
    chance = random.Random(seed)
    english, german = zip(*(sentence_pair(chance) for _ in range(rows)), strict=True)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.en").write_text("\n".join(english) + "\n", encoding="utf-8")
    with gzip.open(prefix.with_name(f"{prefix.name}.de.gz"), "wt", encoding="utf-8") as file:
        file.write("\n".join(german) + "\n")
    return str(prefix)


def tiny_translation_options(directory: Path) -> dict:
    """Options of a tiny training on 60 pairs, which are written to a directory."""
    return {
        "dataset": "files",
        "train_data": write_pairs(directory / "train", rows=60, seed=0),
        "validation_data": write_pairs(directory / "validation", rows=12, seed=1),
        "tokenizer": "words",
        "max_length": 16,
        "batch_tokens": 128,
        "units": 16,
        "embedding_size": 12,
        "dropout": 0.0,
        "epochs": 2,
        "log_every": 2,
        "learning_rate": 0.02,
    }


def metrics_lines(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without values that depend on the process."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [{name: value for name, value in line.items() if name not in OF_THE_PROCESS} for line in lines]


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, the newest last."""
    return sorted((run / "checkpoints").glob("step-*"))


def checkpoint_tensors(checkpoint: Path) -> dict[str, np.ndarray | bytes]:
    """All tensors of a checkpoint by name, except the position in the data, which NumPy cannot hold."""
    reader = tf.train.load_checkpoint(str(checkpoint / "tensors"))
    dtypes = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name) for name, dtype in dtypes.items() if dtype != tf.variant}


def best_model(run: Path) -> tuple[PreparedData, keras.Model]:
    """The data of a run, and its model with the best weights, in memory."""
    directory = RunDirectory(run)
    application, config = read_config(directory)
    task = task_of(application)
    data = task.data(config, directory)
    model = task.build_model(config, data.sizes)
    model.load_weights(directory.best_weights)
    return data, model


def best_weights(run: Path) -> dict[str, np.ndarray]:
    """The weights of the best epoch by name."""
    weights = {}

    def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name] = item[()]

    with h5py.File(run / "best" / "model.weights.h5") as file:
        file.visititems(keep)
    return weights


def assert_same_ends(run: Path, other: Path) -> None:
    """Two runs have the same last checkpoints, best weights and metrics, bit by bit."""
    one, two = (checkpoint_tensors(checkpoints(path)[-1]) for path in (run, other))
    assert one.keys() == two.keys()
    for name in one:
        if not name.startswith("_CHECKPOINTABLE"):
            np.testing.assert_array_equal(one[name], two[name], strict=True, err_msg=name)
    for name, weight in best_weights(run).items():
        np.testing.assert_array_equal(weight, best_weights(other)[name])
    assert metrics_lines(run) == metrics_lines(other)
