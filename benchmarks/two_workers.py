"""Two workers of `--distribution=multi_worker` against the same two processes apart, each with one thread.

    python benchmarks/two_workers.py [--rows=96] [--steps=30]

Trains translation, with the sizes of `demo`, on batches of 2 x `--rows` pairs on two workers; then on batches of
`--rows` in two processes that run at the same time and know nothing of each other, so that each computes as much on
the same cores. The times of a step tell what the strategy costs. The losses of the two workers are compared with those
of one process on the whole batches.
"""

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import app, flags

_ROWS = flags.DEFINE_integer("rows", 96, "pairs that a process computes in a step")
_STEPS = flags.DEFINE_integer("steps", 30, "steps to measure")
_ONE = flags.DEFINE_integer("one", 0, "for the processes: the rows of a batch")
_TOKENS, _LENGTH, _WARM_UP = 1200, 16, 5


def one() -> None:
    """Makes the steps of a process, and prints their losses and times."""
    import keras
    import tensorflow as tf

    from unroll.models.text import END, START
    from unroll.tasks.training.clipping import Clipping
    from unroll.tasks.training.cluster import place_of
    from unroll.tasks.training.optimizers import build_optimizer
    from unroll.tasks.training.step import TrainingStep
    from unroll.tasks.training.workers import join
    from unroll.tasks.translation.config import TranslationConfig
    from unroll.tasks.translation.data import TranslationSizes
    from unroll.tasks.translation.task import TASK

    distribution = "multi_worker" if "TF_CONFIG" in os.environ else "one_device"
    with join(distribution, place_of(distribution)) as workers:
        keras.utils.set_random_seed(0)
        config = TranslationConfig(units=256, embedding_size=128, dropout=0.0, learning_rate=0.003)
        sizes = TranslationSizes(_TOKENS, _TOKENS)
        with workers.strategy.scope():
            model = TASK.build_model(config, sizes)
            optimizer = build_optimizer(config)
            optimizer.build(model.trainable_variables)
        spec: Any = {name: tf.TensorSpec([None, None], tf.int32) for name in ("source", "target")}
        objective = TASK.phases(config, sizes)[0].objective
        step = TrainingStep(
            objective,
            model,
            optimizer,
            spec,
            clipping=Clipping(global_clipnorm=1.0),
            strategy=workers.strategy,
        )
        rng, losses = np.random.default_rng(0), []
        for number in range(_WARM_UP + _STEPS.value):
            if number == _WARM_UP:
                begun, processor = time.monotonic(), time.process_time()
            source, target = rng.integers(4, 40, (2, _ONE.value, _LENGTH))
            target[:, 0], target[:, -1] = START, END
            batch = {"source": tf.constant(source, tf.int32), "target": tf.constant(target, tf.int32)}
            loss = step(batch, 0.003, number).loss
            losses.append(float(loss.total) / float(loss.weight))
        spent = [(time.monotonic() - begun) / _STEPS.value, (time.process_time() - processor) / _STEPS.value]
    print(json.dumps({"losses": losses, "wall": spent[0], "processor": spent[1]}))


def start(rows: int, processes: int, together: bool = False) -> list[dict[str, Any]]:
    """Runs processes that train together or apart, and returns what each printed."""
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("localhost", 0))
        addresses = [f"localhost:{free.getsockname()[1]}" for free in (first, second)]
    running = []
    for index in range(processes):
        environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
        if together:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        command = [sys.executable, __file__, f"--one={rows}", f"--steps={_STEPS.value}"]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]


def main(_):
    if _ONE.value:
        one()
        return
    together = start(2 * _ROWS.value, 2, together=True)
    apart = start(_ROWS.value, 2)
    (whole,) = start(2 * _ROWS.value, 1)
    for name in ("processor", "wall"):
        alone, worker = (np.mean([process[name] for process in two]) for two in (apart, together))
        print(
            f"{name} time of a step: two processes apart {alone * 1e3:.1f} ms, two workers {worker * 1e3:.1f} ms, "
            f"{worker / alone - 1:+.1%}"
        )
    furthest = np.abs(np.subtract(whole["losses"], together[0]["losses"])).max()
    print(f"Losses of the two workers and of one process on whole batches differ by {furthest:.1e} at most.")


if __name__ == "__main__":
    app.run(main)
