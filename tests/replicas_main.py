"""Trains on one device and on two logical ones, and prints the results as JSON; test_trainer.py judges them.

A separate program, since the devices must be set before TensorFlow starts.
"""

import dataclasses
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tiny_training import (
    metrics_lines,
    tiny_options,
    tiny_text_options,
    tiny_translation_options,
    write_texts,
)

from unroll.models.blocks.random import ReplicaSeedGenerator
from unroll.models.options import SentimentOptions
from unroll.models.sentiment import SentimentClassifier
from unroll.tasks.language_modeling import task as language_modeling
from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.language_modeling.data import LanguageModelingData
from unroll.tasks.sentiment import task as sentiment
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.sentiment.data import SentimentData
from unroll.tasks.training.averaging import WeightAverage
from unroll.tasks.training.clipping import Clipping
from unroll.tasks.training.optimizers import build_optimizer
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.state import TrainingState
from unroll.tasks.training.step import TrainingStep
from unroll.tasks.training.trainer import Trainer
from unroll.tasks.training.workers import Workers
from unroll.tasks.translation import task as translation
from unroll.tasks.translation.config import TranslationConfig
from unroll.tasks.translation.data import TranslationData

SMALL = {"cell": "simple_rnn", "bidirectional": False}
# With a batch of one row a replica goes without.
BATCH_SIZES = (5, 1, 8)
# No clipping and each way of it, with each kind of optimiser.
CASES = {
    "sgd": ({"optimizer": "sgd", "momentum": 0.0}, {}),
    "sgd_clipvalue": ({"optimizer": "sgd", "momentum": 0.0}, {"clipvalue": 0.01}),
    "momentum_clipnorm": ({"optimizer": "sgd", "momentum": 0.9}, {"clipnorm": 0.02}),
    "adam_global_clipnorm": ({"optimizer": "adam"}, {"global_clipnorm": 0.05}),
}
# Lanes of a text: with one a replica goes without, and with three one has more than the other.
LANES = (1, 3)
LANE_STEPS = 6
PAIR_STEPS = 8


def two_replicas() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def steps(strategy: tf.distribute.Strategy, options: dict, limits: dict) -> dict:
    """A few steps of a small model: the result of each, and the weights and their averages after the last."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = SentimentClassifier(20, 2, SentimentOptions(**SMALL, units=4, embedding_size=4))
        model(tf.ones([1, 1], tf.int32))
        optimizer = build_optimizer(SentimentConfig(**options))
        optimizer.build(model.trainable_variables)
        average = WeightAverage(model.trainable_variables, 0.9)
    specification = {"ids": tf.TensorSpec([None, None], tf.int32), "label": tf.TensorSpec([None], tf.int32)}
    step = TrainingStep(
        sentiment.Classification(),
        model,
        optimizer,
        specification,
        clipping=Clipping(**limits),
        strategy=strategy,
        average=average,
    )
    rng = np.random.default_rng(0)
    told = []
    for number, size in enumerate(BATCH_SIZES):
        batch = {
            "ids": tf.constant(rng.integers(0, 20, (size, 6)), tf.int32),
            "label": tf.constant(rng.integers(0, 2, size), tf.int32),
        }
        result = step(batch, learning_rate=0.5, step=number)
        told.append([float(value) for value in tf.nest.flatten(result)])
    return {
        "told": told,
        "weights": [v.numpy().tolist() for v in model.trainable_variables],
        "averages": [v.numpy().tolist() for v in average.averages],
    }


def lanes(strategy: tf.distribute.Strategy, directory: Path, count: int) -> dict:
    """Some steps on a text in lanes, half of them after a restart: the result of each, and the weights and the carried
    states after the last."""
    options = tiny_text_options(write_texts(directory / "texts", [70, 9, 100]))
    config = LanguageModelingConfig(**options | {"batch": count, "optimizer": "sgd"})
    data = LanguageModelingData(config, RunDirectory(directory / f"lanes-{count}"))
    data.prepare()
    told, saved = [], None
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        state = TrainingState(language_modeling.TASK, data, strategy, jit_compile=False, epoch=0)
        if saved:
            state.tensors.read(saved).assert_existing_objects_matched()
        for _ in range(LANE_STEPS // 2):
            result = state.step(next(state.iterator), learning_rate=0.5, step=len(told))
            told.append([float(value) for value in tf.nest.flatten(result)])
        saved = state.tensors.write(str(directory / "state"))
    return {
        "told": told,
        "weights": [v.numpy().tolist() for v in state.model.trainable_variables],
        "carry": [v.numpy().tolist() for v in state.tensors.carry],
    }


def pairs(strategy: tf.distribute.Strategy, directory: Path) -> dict:
    """Some steps on sentence pairs, one or two in a batch: the result of each, and the weights after the last."""
    options = tiny_translation_options(directory / "pairs") | {
        "cell": "simple_rnn",
        "batch_tokens": 18,
        "optimizer": "sgd",
    }
    # Each replica makes two passes over its rows. Nothing is dropped, since replicas draw different masks.
    options |= {"r_drop": 1.0, "dropout": 1e-6}
    config = TranslationConfig(**options, label_smoothing=0.1, global_clipnorm=0.5)
    data = TranslationData(config, RunDirectory(directory / "translation"))
    data.prepare()
    keras.utils.set_random_seed(0)
    state = TrainingState(translation.TASK, data, strategy, jit_compile=False, epoch=0)
    rows, told = [], []
    for number, batch in zip(range(PAIR_STEPS), state.iterator, strict=False):
        rows.append(len(batch["source"]))
        result = state.step(batch, learning_rate=0.5, step=number)
        told.append([float(value) for value in tf.nest.flatten(result)])
    weights = [v.numpy().tolist() for v in state.model.trainable_variables]
    return {"rows": rows, "told": told, "weights": weights}


def masks(strategy: tf.distribute.Strategy) -> list[list]:
    """Each replica's dropout masks of two steps."""
    with strategy.scope():
        generator = ReplicaSeedGenerator(3)

    @tf.function
    def draw() -> tf.Tensor:
        return strategy.run(lambda: keras.random.dropout(tf.ones([64]), 0.5, seed=generator))

    by_step = [[mask.numpy().tolist() for mask in strategy.experimental_local_results(draw())] for _ in "ab"]
    return list(zip(*by_step, strict=True))


def resumed_training(strategy: tf.distribute.Strategy, workdir: Path, options: dict) -> list[dict]:
    """Two epochs, the second after a resume: lines of metrics.jsonl."""
    config = SentimentConfig(**options, **SMALL, dropout=0.0, average_decay=0.9, global_clipnorm=0.5)
    run = RunDirectory(workdir)
    run.create("sentiment", config)
    for epochs in (1, 2):
        data = SentimentData(dataclasses.replace(config, epochs=epochs), run)
        Trainer(sentiment.TASK, data, Workers(strategy)).train()
    return metrics_lines(workdir)


def main() -> None:
    directory = Path(sys.argv[1])
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategies = {"one": tf.distribute.get_strategy(), "two": two_replicas()}
    options = tiny_options(directory)
    del options["epochs"]
    results = {
        name: {
            "steps": {case: steps(strategy, *arguments) for case, arguments in CASES.items()},
            "lanes": {count: lanes(strategy, directory, count) for count in LANES},
            "pairs": pairs(strategy, directory),
            "masks": masks(strategy),
            "training": resumed_training(strategy, directory / name, options),
        }
        for name, strategy in strategies.items()
    }
    (directory / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
