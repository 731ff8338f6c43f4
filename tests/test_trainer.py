"""The trainer: clipping, schedules, averages, one step on one and two replicas, and whole tiny trainings."""

import csv
import errno
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import replicas_main
import tensorflow as tf
from tiny_training import best_weights, checkpoints, metrics_lines, tiny_options, write_reviews

from unroll.common import locks
from unroll.common.errors import UserError
from unroll.tasks import cli
from unroll.tasks.applications import read_config
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.sentiment.data import SentimentData
from unroll.tasks.sentiment.task import TASK
from unroll.tasks.task import Evaluation
from unroll.tasks.training.averaging import EpochAverage, WeightAverage
from unroll.tasks.training.clipping import Clipping
from unroll.tasks.training.phases import Phase, find_phase
from unroll.tasks.training.progress import Progress
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.schedules import learning_rate, linear_decay
from unroll.tasks.training.trainer import DivergenceError, Trainer

GRADIENTS = [np.array([[3.0, -4.0], [0.5, 0.0]], np.float32), np.array([-0.1, 0.2], np.float32)]


class Script:
    """Validation metrics that are given beforehand; it notes the weights that each epoch measured."""

    def __init__(self, metrics):
        self.metrics = metrics
        self.measured = []

    def evaluate(self, model, data, split):
        self.measured.append([v.numpy() for v in model.trainable_variables])
        return Evaluation(self.metrics[len(self.measured) - 1], {}, "")


def trainer_of(config, run, script=None, **arguments):
    task = replace(TASK, evaluate=script.evaluate) if script else TASK
    return Trainer(task, SentimentData(config, run), **arguments)


def build_model(config, run):
    return TASK.build_model(config, SentimentData(config, run).sizes)


@pytest.fixture(autouse=True)
def _same_dtype_policy_after():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    small = {"cell": "simple_rnn", "bidirectional": False, "dropout": 0.0}
    return tiny_options(tmp_path_factory.mktemp("data")) | small


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    """A training with callbacks: its run directory, configuration and model."""
    config = SentimentConfig(**options | {"epochs": 6, "global_clipnorm": 0.5})
    run = RunDirectory(tmp_path_factory.mktemp("finished"))
    run.create("sentiment", config)
    logger = keras.callbacks.CSVLogger(run.path / "log.csv")
    model = trainer_of(config, run, callbacks=[logger]).train()
    return run, config, model


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """The results of `replicas_main.py` on one device and on two."""
    directory = tmp_path_factory.mktemp("replicas")
    subprocess.run([sys.executable, replicas_main.__file__, str(directory)], check=True)
    return json.loads((directory / "results.json").read_text(encoding="utf-8"))


def begin(path: Path, options: dict, **changes) -> tuple[SentimentConfig, RunDirectory]:
    config = SentimentConfig(**options | changes)
    run = RunDirectory(path / "run")
    run.create("sentiment", config)
    return config, run


def norm(arrays):
    return math.sqrt(sum(np.square(a).sum() for a in arrays))


def by_value(gradients, limit):
    return [np.clip(g, -limit, limit) for g in gradients]


def by_norm(gradients, limit):
    return [g * min(1, limit / norm([g])) for g in gradients]


def by_global_norm(gradients, limit):
    return [g * min(1, limit / norm(gradients)) for g in gradients]


# Clipping.


@pytest.mark.parametrize(
    ("limits", "formulas"),
    [
        ({}, []),
        ({"clipvalue": 1.0}, [by_value]),
        ({"clipnorm": 0.7}, [by_norm]),
        ({"global_clipnorm": 0.7}, [by_global_norm]),
        ({"global_clipnorm": 100.0, "clipnorm": 100.0, "clipvalue": 100.0}, []),
        ({"clipvalue": 0.6, "clipnorm": 0.7, "global_clipnorm": 0.5}, [by_value, by_norm, by_global_norm]),
    ],
)
def test_clipping_follows_its_formulas_in_their_order(limits, formulas):
    expected = GRADIENTS
    for formula, limit in zip(formulas, limits.values(), strict=False):
        expected = formula(expected, limit)
    clipped = Clipping(**limits)([tf.constant(g) for g in GRADIENTS])
    for ours, theirs in zip(clipped, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_clipping_leaves_zero_gradients_at_zero():
    clipped = Clipping(1.0, 1.0, 1.0)([tf.zeros([3]), tf.zeros([2])])
    assert not any(np.any(g) for g in clipped)


# Learning rate, progress, averages.


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "step", "progress", "plateau_scale", "expected"),
    [
        ("constant", 0, 0, 0.0, 1.0, 2.0),
        ("constant", 0, 999, 1.0, 1.0, 2.0),
        ("constant", 4, 0, 0.0, 1.0, 0.5),
        ("constant", 4, 3, 0.0, 1.0, 2.0),
        ("cosine", 0, 0, 0.0, 1.0, 2.0),
        ("cosine", 0, 50, 0.5, 1.0, 1.0),
        ("cosine", 0, 75, 2 / 3, 1.0, 0.5),
        ("cosine", 0, 100, 1.0, 1.0, 0.0),
        ("cosine", 4, 1, 0.5, 1.0, 0.5),
        ("inverse_sqrt", 0, 0, 0.0, 1.0, 2.0),
        ("inverse_sqrt", 0, 99, 0.0, 1.0, 0.2),
        ("inverse_sqrt", 4, 1, 0.0, 1.0, 1.0),
        ("inverse_sqrt", 4, 3, 0.0, 1.0, 2.0),
        ("inverse_sqrt", 4, 15, 0.0, 1.0, 1.0),
        ("plateau", 0, 99, 0.5, 0.25, 0.5),
        ("plateau", 4, 1, 0.0, 0.25, 0.25),
        ("constant", 0, 99, 0.5, 0.25, 2.0),
    ],
)
def test_learning_rate(schedule, warmup_steps, step, progress, plateau_scale, expected):
    config = SentimentConfig(learning_rate=2.0, schedule=schedule, warmup_steps=warmup_steps)
    assert learning_rate(config, step, progress, plateau_scale) == pytest.approx(expected)


def test_each_choice_of_schedule_has_a_rate():
    choices = SentimentConfig.__dataclass_fields__["schedule"].metadata["choices"]
    rates = {learning_rate(SentimentConfig(schedule=choice), 0, 0.0, 1.0) for choice in choices}
    assert rates == {SentimentConfig().learning_rate}


def test_linear_decay():
    assert [linear_decay(2.0, 7, share, 1.0) for share in (0.0, 0.25, 1.0)] == [2.0, 1.5, 0.0]


def test_an_epoch_has_its_phase():
    first, second = (Phase(epochs, None, None) for epochs in (3, 2))
    found = [find_phase([first, second], epoch) for epoch in range(6)]
    assert found == [(first, 0)] * 3 + [(second, 3)] * 3
    assert find_phase([first], 7) == (first, 0)


@pytest.mark.parametrize(
    ("best", "values"),
    [
        ("min", [3, 2, 2, 4, 5, 1]),
        ("min", [9, 4, 8, 4, 5, 3]),
        ("max", [0.1, 0.7, 0.2, 0.7, 0.0, 0.8]),
    ],
)
def test_progress_knows_the_best_value_and_when_to_stop(best, values):
    config = SentimentConfig(
        early_stopping_patience=3, schedule="plateau", plateau_patience=2, plateau_factor=0.5
    )
    progress = Progress()
    seen = []
    for value in values:
        is_best = progress.end_epoch(config, value, best)
        seen.append((is_best, progress.best, progress.plateau_scale, progress.stops_early(config)))
    first, second, *_, last = values
    assert seen == [
        (True, first, 1.0, False),
        (True, second, 1.0, False),
        # No better, or only as good: the plateau acts after the second such epoch, the stop after the third.
        (False, second, 1.0, False),
        (False, second, 0.5, False),
        (False, second, 0.5, True),
        (True, last, 0.5, False),
    ]


def test_progress_never_stops_early_without_patience():
    config, progress = SentimentConfig(), Progress()
    for _ in range(50):
        progress.end_epoch(config, 1.0, "min")
    assert not progress.stops_early(config)


def test_progress_weighs_the_mean_loss_of_the_epoch():
    progress = Progress()
    progress.add_step(loss_total=8.0, loss_weight=4.0, examples=4)
    progress.add_step(loss_total=1.0, loss_weight=2.0, examples=1)
    assert (progress.step, progress.examples, progress.first_loss) == (2, 5, 2.0)
    assert progress.mean_loss == pytest.approx(9 / 6)
    progress.end_epoch(SentimentConfig(), 1.0, "min")
    assert (progress.step, progress.examples, progress.epoch, progress.mean_loss) == (2, 0, 1, 0.0)


def test_recent_loss_is_not_moved_far_by_one_hard_example():
    progress = Progress()
    for _ in range(20):
        progress.add_step(loss_total=1.0, loss_weight=1.0, examples=1)
    progress.add_step(loss_total=20.0, loss_weight=1.0, examples=1)
    assert progress.recent_loss < 5
    for _ in range(20):
        progress.add_step(loss_total=20.0, loss_weight=1.0, examples=1)
    assert progress.recent_loss > 15


def test_weight_average_follows_its_formula():
    weight = keras.Variable([1.0, -2.0])
    average = WeightAverage([weight], decay=0.6)
    expected = np.array([1.0, -2.0])
    for step, value in enumerate(([2.0, 0.0], [0.0, 4.0], [8.0, 1.0], [1.0, 1.0], *[[5.0, -5.0]] * 20)):
        weight.assign(value)
        average.update(tf.constant(step, tf.float32))
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * np.array(value)
        np.testing.assert_allclose(average.averages[0], expected, rtol=1e-5)


def test_weight_average_in_use_gives_the_weights_back():
    weight = keras.Variable([1.0, -2.0])
    average = WeightAverage([weight], decay=0.6)
    weight.assign([5.0, 5.0])
    with average.in_use():
        np.testing.assert_array_equal(weight, [1.0, -2.0])
    np.testing.assert_array_equal(weight, [5.0, 5.0])


def test_weight_average_gives_the_weights_back_after_an_error():
    weight = keras.Variable([1.0, -2.0])
    average = WeightAverage([weight], decay=0.6)
    weight.assign([5.0, 5.0])
    with pytest.raises(KeyError), average.in_use():
        raise KeyError
    np.testing.assert_array_equal(weight, [5.0, 5.0])


def test_epoch_average_is_the_mean_of_the_last_epochs_also_after_a_restart(tmp_path):
    weight, saved = keras.Variable([0.0, 0.0]), None
    values = [[3.0, -6.0], [1.0, 2.0], [8.0, 1.0], [2.0, 3.0], [4.0, 4.0]]
    for number, value in enumerate(values, start=1):
        average = EpochAverage([weight], 3)
        checkpoint = tf.train.Checkpoint(average=average)
        if saved:
            checkpoint.read(saved).assert_existing_objects_matched()
        # Steps leave it alone.
        weight.assign([99.0, 99.0])
        average.update(tf.constant(1.0))
        weight.assign(value)
        average.end_epoch()
        saved = checkpoint.write(str(tmp_path / f"checkpoint-{number}"))
        with average.in_use():
            np.testing.assert_allclose(
                weight, np.mean(values[max(0, number - 3) : number], axis=0), rtol=1e-6
            )
        np.testing.assert_array_equal(weight, value)


def test_two_averages_are_one_too_many(options):
    with pytest.raises(UserError, match="and --average_last=2 are two averages"):
        SentimentConfig(**options, average_decay=0.9, average_last=2)


# Replicas.


@pytest.mark.parametrize("case", replicas_main.CASES)
def test_two_replicas_make_the_update_of_one_device(replicas, case):
    one, two = (replicas[name]["steps"][case] for name in ("one", "two"))
    np.testing.assert_allclose(two["told"], one["told"], rtol=1e-4)
    for key in ("weights", "averages"):
        for ours, theirs in zip(two[key], one[key], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in replicas_main.CASES if "clip" in case])
def test_replica_cases_clip_at_every_step(replicas, case):
    gradient_norms, clipped_norms = np.array(replicas["two"]["steps"][case]["told"])[:, -2:].T
    assert np.all(clipped_norms < 0.9 * gradient_norms)


def test_replicas_draw_different_dropout_masks(replicas):
    first, second = replicas["two"]["masks"]
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert first[0] != first[1]
    # So that a run on one device is one of replica 0.
    assert replicas["one"]["masks"] == [first]


def test_training_on_two_replicas_with_a_resume_is_that_of_one_device(replicas):
    one, two = (replicas[name]["training"] for name in ("one", "two"))
    assert len(one) == len(two) > 8
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("count", replicas_main.LANES)
def test_two_replicas_carry_the_states_of_one_device_in_the_order_of_the_rows(replicas, count):
    one, two = (replicas[name]["lanes"][str(count)] for name in ("one", "two"))
    np.testing.assert_allclose(two["told"], one["told"], rtol=1e-4)
    assert len(one["told"]) == replicas_main.LANE_STEPS
    # h and c.
    assert [np.shape(state) for state in one["carry"]] == [(count, 6)] * 2
    for key in ("weights", "carry"):
        for ours, theirs in zip(two[key], one[key], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    # No two rows are alike.
    rows = np.array(one["carry"][-1])
    assert len(np.unique(rows.round(3), axis=0)) == count


def test_two_replicas_translate_as_one_device_does(replicas):
    one, two = (replicas[name]["pairs"] for name in ("one", "two"))
    # Of a batch of one row a replica has nothing.
    assert one["rows"] == two["rows"]
    assert set(one["rows"]) == {1, 2}
    np.testing.assert_allclose(two["told"], one["told"], rtol=1e-4)
    for ours, theirs in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# Whole trainings.


def test_training_learns(finished):
    epochs = [line for line in metrics_lines(finished[0].path) if "train_loss" in line]
    assert epochs[0]["train_loss"] > 0.5
    assert epochs[-1]["train_loss"] < 0.4
    # Of 20 texts.
    assert epochs[-1]["validation_accuracy"] >= 0.8


def test_run_directory_has_the_files_of_a_run(finished):
    run, config, _ = finished
    assert {path.name for path in run.path.iterdir()} == {
        *("config.json", "vocabulary", "data", "checkpoints", "best", "logs", "metrics.jsonl", "log.csv")
    }
    assert read_config(run) == ("sentiment", config)
    assert not list(run.path.rglob(".partial-*"))
    assert [path.name[-5:] for path in checkpoints(run.path)][-1] == "00006"
    assert len(checkpoints(run.path)) == 2
    assert list(run.logs.glob("events.out.tfevents.*"))


def test_metrics_tell_of_the_health_of_the_training(finished):
    lines = metrics_lines(finished[0].path)
    steps = [line for line in lines if "train_loss" not in line]
    epochs = [line for line in lines if "train_loss" in line]
    assert [line["step"] for line in steps] == list(range(2, steps[-1]["step"] + 1, 2))
    assert all(line["clipped_gradient_norm"] <= 0.5001 for line in steps)
    assert any(line["gradient_norm"] > 0.6 for line in steps)
    assert all(1e-5 < line["update_to_weight_ratio"] < 0.1 for line in steps)
    assert all(line["learning_rate"] == 0.01 for line in steps)
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4, 5, 6]
    assert {"validation_loss", "validation_accuracy", "validation_f1"} < set(epochs[0])


def test_metrics_tell_the_speed_and_that_there_is_one_graph(finished):
    text = finished[0].metrics.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    speeds = [line for line in lines if "tokens_per_second" in line]
    assert speeds
    assert all(line["tokens_per_second"] > 0 and 0 <= line["data_wait_share"] <= 1 for line in speeds)
    assert [line["compilations"] for line in lines if "compilations" in line] == [1] * 6


def test_keras_callbacks_plug_in(finished):
    run = finished[0]
    with (run.path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    epochs = [line for line in metrics_lines(run.path) if "train_loss" in line]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3, 4, 5]
    for row, line in zip(rows, epochs, strict=True):
        assert float(row["train_loss"]) == pytest.approx(line["train_loss"])
        assert float(row["validation_accuracy"]) == pytest.approx(line["validation_accuracy"])


def test_stateless_callbacks_of_keras_plug_in(options, tmp_path):
    config, run = begin(tmp_path / "run", options, epochs=1)
    board = keras.callbacks.TensorBoard(str(tmp_path / "board"), write_graph=False)
    trainer_of(config, run, callbacks=[board, keras.callbacks.ProgbarLogger()]).train()
    assert any(path.is_file() for path in (tmp_path / "board").rglob("events*"))


def test_validation_data_is_kept_with_the_run(options, tmp_path):
    validation = tmp_path / "validation.tsv"
    write_reviews(validation, rows=20, seed=1)
    config, run = begin(tmp_path / "run", options, validation_data=str(validation), epochs=1)
    SentimentData(config, run).prepare()
    validation.unlink()
    trainer_of(config, run).train()
    assert json.loads(run.best_metrics.read_text())["epoch"] == 1


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, code):
    def acquire(self):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.FileLock, "acquire", acquire)
    said = rf"{tmp_path} cannot be locked against other processes \({os.strerror(code)}\)"
    with pytest.raises(UserError, match=said), RunDirectory(tmp_path).locked():
        pass


def test_a_read_only_file_system_is_named(tmp_path, monkeypatch):
    def acquire(self):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(locks.FileLock, "acquire", acquire)
    said = rf"{tmp_path} cannot be written to \({os.strerror(errno.EROFS)}\)"
    with pytest.raises(UserError, match=said), RunDirectory(tmp_path).locked():
        pass


def test_one_process_trains_in_a_directory(tmp_path):
    run = RunDirectory(tmp_path)
    again = RunDirectory(tmp_path)
    with run.locked(), pytest.raises(UserError, match="Another process is training"), again.locked():
        pass
    with again.locked():
        pass


def test_a_callback_can_stop_the_training(options, tmp_path):
    config, run = begin(tmp_path, options)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", True)
    )
    trainer_of(config, run, callbacks=[stop]).train()
    assert sum("train_loss" in line for line in metrics_lines(run.path)) == 1


def test_best_weights_are_the_averaged_ones_of_the_best_epoch(options, tmp_path):
    config, run = begin(tmp_path, options, monitor="accuracy", average_decay=0.9, epochs=4)
    script = Script([{"accuracy": value} for value in (0.5, 0.9, 0.9, 0.7)])
    trained = trainer_of(config, run, script).train()
    best = build_model(config, run)
    best.load_weights(run.best_weights)
    for ours, theirs in zip(best.trainable_variables, script.measured[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert json.loads(run.best_metrics.read_text(encoding="utf-8"))["epoch"] == 2
    # Training continued with its own weights, not the measured ones.
    for weight, measured in zip(trained.trainable_variables, script.measured[-1], strict=True):
        assert np.any(weight.numpy() != measured)


def test_without_a_validation_part_the_last_weights_are_the_best(options, tmp_path):
    config, run = begin(tmp_path, options, validation_data=None, validation_fraction=0.0, epochs=2)
    trained = trainer_of(config, run).train()
    best = build_model(config, run)
    best.load_weights(run.best_weights)
    for ours, theirs in zip(best.trainable_variables, trained.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    best_of = json.loads(run.best_metrics.read_text(encoding="utf-8"))
    assert best_of.keys() == {"epoch", "step"}
    assert best_of["epoch"] == 2


def test_early_stopping_stops_and_stays_stopped(options, tmp_path):
    config, run = begin(tmp_path, options, epochs=9, early_stopping_patience=2)
    script = Script([{"loss": value} for value in (3.0, 2.0, 2.5, 2.1, 0.1)])
    trainer_of(config, run, script).train()
    assert len(script.measured) == 4
    trainer_of(config, run, script).train()
    assert len(script.measured) == 4


def test_plateau_lowers_the_learning_rate(options, tmp_path):
    config, run = begin(tmp_path, options, schedule="plateau", plateau_factor=0.25, epochs=3)
    trainer_of(config, run, Script([{"loss": value} for value in (1.0, 2.0, 0.5)])).train()
    rates = {line["epoch"]: line["learning_rate"] for line in metrics_lines(run.path) if "loss" in line}
    assert rates == pytest.approx({1: 0.01, 2: 0.01, 3: 0.0025})


def test_mixed_bfloat16_trains(options, tmp_path):
    config, run = begin(tmp_path, options, precision="mixed_bfloat16", cell="lstm", epochs=6, dropout=0.1)
    model = trainer_of(config, run).train()
    assert model.recurrent.layers[0].compute_dtype == "bfloat16"
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    epochs = [line for line in metrics_lines(run.path) if "train_loss" in line]
    assert epochs[-1]["train_loss"] < 0.5 < epochs[0]["train_loss"]


def test_compiled_step_trains_as_the_plain_one_does(options, tmp_path):
    # One bucket of lengths, so that two shapes are compiled.
    losses = {}
    for jit_compile in (True, False):
        config, run = begin(
            tmp_path / str(jit_compile), options, jit_compile=jit_compile, max_length=8, epochs=2
        )
        trainer_of(config, run).train()
        epochs = [line for line in metrics_lines(run.path) if "train_loss" in line]
        losses[jit_compile] = [(line["train_loss"], line["validation_loss"]) for line in epochs]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-3)


@pytest.mark.parametrize("rate", ["1e4", "1e38"])
def test_divergence_ends_the_command_with_advice(options, tmp_path, capsys, rate):
    changes = {"optimizer": "sgd", "learning_rate": rate}
    command = ["train", "sentiment", f"--workdir={tmp_path / 'run'}"]
    command += [f"--{name}={value}" for name, value in (options | changes).items()]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("unroll: Training diverged at step ")
    assert error.count("\n") == 1
    for advice in ("--global_clipnorm", "--learning_rate", "--warmup_steps"):
        assert advice in error


def test_divergence_seen_at_the_end_of_an_epoch_leaves_the_best_weights_alone(options, tmp_path):
    config, run = begin(tmp_path, options, monitor="f1")
    script = Script([{"f1": 0.5}, {"f1": math.nan}])
    with pytest.raises(DivergenceError, match="validation f1 is nan"):
        trainer_of(config, run, script).train()
    assert json.loads(run.best_metrics.read_text(encoding="utf-8"))["epoch"] == 1
    assert len(checkpoints(run.path)) == 1


def test_unknown_monitor_is_a_user_error(options, tmp_path):
    config, run = begin(tmp_path, options, monitor="bleu")
    with pytest.raises(UserError, match=r"--monitor=bleu .* loss, accuracy, f1"):
        trainer_of(config, run).train()
    assert not run.best_weights.exists()


def test_seed_decides_the_result(options, tmp_path):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config, run = begin(tmp_path / name, options, seed=seed, epochs=1, dropout=0.3)
        trainer_of(config, run).train()
        weights.append(best_weights(run.path))
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not np.array_equal(weights[0][name], weights[2][name]) for name in weights[0])


class DrawingData(SentimentData):
    """Data whose preparation draws random numbers, as the making of a data set may."""

    def prepare(self):
        super().prepare()
        random.random(), np.random.random()


def test_what_the_preparation_draws_changes_nothing(options, tmp_path):
    weights = []
    for data in (SentimentData, DrawingData):
        config, run = begin(tmp_path / data.__name__, options, epochs=1, dropout=0.3)
        Trainer(TASK, data(config, run)).train()
        weights.append(best_weights(run.path))
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_training_on_files_needs_neither_matplotlib_nor_tensorflow_datasets(options, tmp_path):
    changed = options | {"epochs": 1, "workdir": tmp_path / "run"}
    flags = [f"--{name}={value}" for name, value in changed.items()]
    # Such a module cannot be imported. Keras, which imports matplotlib, does without.
    program = """
import sys

sys.modules |= {"matplotlib": None, "tensorflow_datasets": None}
from unroll.tasks import cli

sys.exit(cli.main(sys.argv[1:]))
"""
    subprocess.run([sys.executable, "-c", program, "train", "sentiment", *flags], check=True)
    assert (tmp_path / "run/best/model.weights.h5").exists()
