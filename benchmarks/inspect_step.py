"""Times training steps with inspection off and with `--inspect_every=100`, in one run.

    python benchmarks/inspect_step.py [--units=256 --truncation=64 --batch=32]

Trains a character language model. `off` is a training step; an inspection is the work that `--inspect_every` does once,
files, TensorBoard and picture included. Prints medians over rounds in which each takes its turn, and the ratio of a
step that bears its share of the inspections.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags
from rounds import times

from unroll.common.json_lines import JsonLines
from unroll.tasks.inspection.live import LiveInspection
from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.language_modeling.data import LanguageModelingData
from unroll.tasks.language_modeling.task import TASK
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.state import TrainingState

_UNITS = flags.DEFINE_integer("units", 256, "units of the LSTM")
_TRUNCATION = flags.DEFINE_integer("truncation", 64, "steps of a window")
_BATCH = flags.DEFINE_integer("batch", 32, "lanes")
_ROUNDS = flags.DEFINE_integer("rounds", 100, "each contender takes its turn once a round")
_EVERY = flags.DEFINE_integer("every", 100, "steps between inspections")
# Steps of a turn, and windows that are read again and again.
_STEPS = 2


def training(directory: Path) -> TrainingState:
    config = LanguageModelingConfig(
        dataset="files",
        train_data=str(directory / "text.txt"),
        validation_fraction=0.0,
        test_fraction=0.0,
        batch=_BATCH.value,
        truncation=_TRUNCATION.value,
        units=_UNITS.value,
        global_clipnorm=1.0,
    )
    data = LanguageModelingData(config, RunDirectory(directory / "run"))
    data.prepare()
    return TrainingState(TASK, data, tf.distribute.get_strategy(), jit_compile=False, epoch=0)


def main(_):
    rng = np.random.default_rng(0)
    characters = _BATCH.value * _TRUNCATION.value * _STEPS + 1
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        text = "".join(map(chr, rng.integers(48, 48 + 65, characters)))
        (directory / "text.txt").write_text(text, encoding="utf-8")
        off = training(directory)
        batches = list(islice(off.iterator, _STEPS))
        inspection = LiveInspection(JsonLines(directory / "gradient_flow.jsonl"), 1, None, "character")
        inspection.begin(off, tf.summary.create_file_writer(str(directory / "logs")))

        def steps(state):
            for batch in batches:
                result = state.step(batch, 1e-3, 0)
            float(result.loss.total)
            return len(batches)

        numbers = iter(range(1 << 30))
        contenders = {
            "off": lambda: steps(off),
            "inspection": lambda: inspection.measure(next(numbers), batches[0]),
        }
        seconds = {name: np.array(found) for name, found in times(contenders, _ROUNDS.value, 2).items()}
    for contender, values in seconds.items():
        print(f"{contender:12} {1000 * np.median(values):8.2f} ms")
    every = _EVERY.value
    ratio = np.median(1 + seconds["inspection"] / every / seconds["off"])
    print(f"--inspect_every={every} / off    {ratio:.3f}")


if __name__ == "__main__":
    app.run(main)
