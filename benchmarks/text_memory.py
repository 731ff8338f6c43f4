"""Measures the peak memory of a training against the size of its text.

    python benchmarks/text_memory.py [--megabytes=1,100]

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

_MEGABYTES = flags.DEFINE_list("megabytes", ["1", "100"], "sizes of the texts")
_STEPS = flags.DEFINE_integer("steps", 200, "training steps")
_TRAIN = flags.DEFINE_string("train", None, "for the processes: the text to train on")


def write_text(path: Path, megabytes: int) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(97, 123, rng.integers(1, 10)))) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1_000_000:
            file.write(" ".join(words[n] for n in rng.integers(0, 5000, 100_000)))


def train(path: str) -> None:
    import keras

    from unroll.tasks.language_modeling.config import LanguageModelingConfig
    from unroll.tasks.language_modeling.data import LanguageModelingData
    from unroll.tasks.language_modeling.task import TASK
    from unroll.tasks.training.run_directory import RunDirectory
    from unroll.tasks.training.trainer import Trainer

    def stop(batch: int, logs: dict) -> None:
        if batch + 1 >= _STEPS.value:
            raise StopIteration

    run = RunDirectory(Path(path).with_suffix(""))
    config = LanguageModelingConfig(dataset="files", train_data=path, units=64, epochs=1)
    run.create("language_modeling", config)
    start = time.monotonic()
    data = LanguageModelingData(config, run)
    data.prepare()
    prepared = time.monotonic() - start
    with suppress(StopIteration):
        Trainer(TASK, data, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)]).train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{os.path.getsize(path) / 1e6:8.0f} MB of text: peak memory {peak:6.0f} MB, prepared in {prepared:.1f} s"
    )


def main(_):
    if _TRAIN.value:
        train(_TRAIN.value)
        return
    with tempfile.TemporaryDirectory() as directory:
        for megabytes in _MEGABYTES.value:
            path = Path(directory) / f"{megabytes}.txt"
            write_text(path, int(megabytes))
            subprocess.run([sys.executable, __file__, f"--train={path}"], check=True)


if __name__ == "__main__":
    app.run(main)
