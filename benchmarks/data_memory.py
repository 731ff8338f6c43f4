"""Measures the peak memory of a training against the size of its data.

    python benchmarks/data_memory.py [--task=language_modeling] [--megabytes=1,100]

Writes texts of random words, trains a small model for a few steps on each in a separate process, and prints the
highest resident set size of each process.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from absl import app, flags

_TASK = flags.DEFINE_enum(
    "task", "language_modeling", ["language_modeling", "sentiment", "translation"], "the application"
)
_MEGABYTES = flags.DEFINE_list("megabytes", ["1", "100"], "sizes of the training data")
_STEPS = flags.DEFINE_integer("steps", 200, "training steps")
_TRAIN = flags.DEFINE_string("train", None, "for the processes: the data to train on")
# Ends a line, after a text of about 90 characters.
_LABELS = {
    "language_modeling": [""],
    "sentiment": ["\tgood", "\tbad"],
    "translation": ["\tEin Satz ist dies."],
}


def write_data(path: Path, task: str, megabytes: int) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(97, 123, rng.integers(1, 10)))) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        if task == "sentiment":
            file.write("text\tlabel\n")
        while file.tell() < megabytes * 1_000_000:
            for line in rng.integers(0, 5000, (2_000, 15)):
                file.write(" ".join(words[n] for n in line) + str(rng.choice(_LABELS[task])) + "\n")


def train(path: str) -> None:
    import keras

    from unroll.tasks.applications import config_class, task_of
    from unroll.tasks.training.run_directory import RunDirectory
    from unroll.tasks.training.trainer import Trainer

    def stop(batch: int, logs: dict) -> None:
        if batch + 1 >= _STEPS.value:
            raise StopIteration

    run, name = RunDirectory(Path(path).with_suffix("")), _TASK.value
    config = config_class(name)(dataset="files", train_data=path, units=64, epochs=1)
    run.create(name, config)
    start = time.monotonic()
    data = task_of(name).data(config, run)
    data.prepare()
    prepared = time.monotonic() - start
    peak_prepared = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=stop)]
    with suppress(StopIteration):
        Trainer(task_of(name), data, callbacks=callbacks).train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name}, {os.path.getsize(path) / 1e6:.0f} MB of text: peak memory {peak:.0f} MB ({peak_prepared:.0f} MB once "
        f"the data was prepared, after {prepared:.1f} s)",
        flush=True,
    )


def main(_):
    if _TRAIN.value:
        train(_TRAIN.value)
        return
    with tempfile.TemporaryDirectory() as directory:
        for megabytes in _MEGABYTES.value:
            path = Path(directory) / f"{megabytes}.txt"
            write_data(path, _TASK.value, int(megabytes))
            command = [
                sys.executable,
                __file__,
                f"--train={path}",
                f"--task={_TASK.value}",
                f"--steps={_STEPS.value}",
            ]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    app.run(main)
