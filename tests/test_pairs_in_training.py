"""What training changes in the pairs of an epoch: their segmentation and their direction."""

import dataclasses
from collections import Counter

import pytest
import tensorflow as tf
from tiny_training import (
    Kill,
    KilledError,
    assert_same_ends,
    best_model,
    metrics_lines,
    tiny_translation_options,
)

from unroll.models.text import END, PADDING, START
from unroll.tasks import cli
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.trainer import Trainer
from unroll.tasks.translation.config import TranslationConfig
from unroll.tasks.translation.data import TranslationData, turned
from unroll.tasks.translation.task import TASK

BOTH = {"segmentation_dropout": 0.3, "both_directions": 2}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Of trainings with one vocabulary of subwords."""
    return tiny_translation_options(tmp_path_factory.mktemp("data")) | {
        "tokenizer": "subwords",
        "joint_vocabulary": True,
        "vocabulary_size": 100,
        "max_length": 24,
        "epochs": 4,
    }


@pytest.fixture(scope="module")
def prepared(options, tmp_path_factory):
    run = RunDirectory(tmp_path_factory.mktemp("prepared") / "run")
    config = TranslationConfig(**options)
    run.create("translation", config)
    data = TranslationData(config, run)
    data.prepare()
    return data


def changed(prepared, **changes):
    """The same prepared data, with other options."""
    return TranslationData(dataclasses.replace(prepared.config, **changes), prepared.run)


def rows(batches):
    """The ids of all pairs, in their order."""
    found = []
    for batch in batches:
        for source, target in zip(batch["source"].numpy(), batch["target"].numpy(), strict=True):
            found.append(tuple(tuple(ids[ids != PADDING].tolist()) for ids in (source, target)))
    return found


def pairs(data, epoch):
    return rows(data.batches(epoch, fixed_shapes=False))


def texts(data, pairs):
    """How often each pair of texts occurs."""
    found = Counter()
    for ids in pairs:
        found[tuple(data.source_codec.decode(tf.constant([row])).numpy()[0].decode() for row in ids)] += 1
    return found


# Segmentation.


def test_each_epoch_splits_the_same_texts_into_other_subwords(prepared):
    data, plain = changed(prepared, segmentation_dropout=0.3), pairs(prepared, 0)
    epochs = [pairs(data, epoch) for epoch in range(3)]
    for found in epochs:
        assert texts(data, found) == texts(data, plain)
        for source, target in found:
            assert (target[0], target[-1]) == (START, END)
            assert not {START, END} & {*source, *target[1:-1]}
            assert 0 < len(source) <= 24
            assert len(target) <= 26
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert len({*epochs[one]} & {*epochs[other]}) < 0.5 * len(plain)
    tokens = [sum(len(ids) for pair in found for ids in pair) for found in (plain, *epochs)]
    assert all(count > 1.1 * tokens[0] for count in tokens[1:])
    # Some texts would be too long, and stay as they were.
    characters = pairs(changed(prepared, segmentation_dropout=1.0), 0)
    assert 0 < len({*characters} & {*plain}) < len(plain)


def test_the_seed_and_the_epoch_decide_the_subwords_and_the_directions(prepared):
    found = [pairs(changed(prepared, **BOTH), epoch) for epoch in (0, 1)]
    assert found == [pairs(changed(prepared, **BOTH), epoch) for epoch in (0, 1)]
    assert {*found[0]} != {*found[1]}
    assert {*pairs(changed(prepared, seed=1, **BOTH), 0)} != {*found[0]}


def test_without_dropout_the_pairs_are_the_same(prepared):
    for epoch in (0, 1):
        assert pairs(changed(prepared, segmentation_dropout=0.0), epoch) == pairs(prepared, epoch)
    # No draw is below this one: it finds the longest pieces by the way of all others.
    assert Counter(pairs(changed(prepared, segmentation_dropout=1e-30), 0)) == Counter(pairs(prepared, 0))


def test_outside_of_training_pairs_are_as_the_codecs_read_them(prepared):
    assert Counter(rows(changed(prepared, **BOTH).sequences())) == Counter(pairs(prepared, 0))


def test_rewarded_epochs_compare_tokens_of_the_usual_segmentation(prepared):
    data = changed(prepared, segmentation_dropout=0.3, rewarded_epochs=1, monitor="bleu")
    assert {*pairs(data, 2)} != {*pairs(prepared, 2)}
    assert Counter(pairs(data, 3)) == Counter(pairs(prepared, 3))


def test_words_have_no_other_segmentation(options, tmp_path):
    config = TranslationConfig(**options | {"tokenizer": "words", "segmentation_dropout": 0.5})
    data = TranslationData(config, RunDirectory(tmp_path))
    data.prepare()
    assert Counter(pairs(data, 0)) == Counter(pairs(changed(data, segmentation_dropout=0.0), 0))


@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_batches_keep_to_their_limit(prepared, fixed_shapes):
    data = changed(prepared, **BOTH)
    for batch in data.batches(1, fixed_shapes):
        count, longest = len(batch["source"]), max(batch["source"].shape[1], batch["target"].shape[1])
        assert longest <= 26
        assert count * longest <= data.config.batch_tokens


# Direction.


def test_half_of_the_pairs_are_turned_in_the_first_epochs(prepared):
    data, plain = changed(prepared, both_directions=2), pairs(prepared, 0)
    forward = {(source, target[1:-1]) for source, target in plain}
    halves = []
    for epoch in (0, 1):
        found = [(source, target[1:-1]) for source, target in pairs(data, epoch)]
        assert all(target[0] == START and target[-1] == END for _, target in pairs(data, epoch))
        halves.append(Counter(pair for pair in found if pair not in forward))
        assert halves[-1].total() == (len(plain) + epoch) // 2
        back = Counter(pair if pair in forward else pair[::-1] for pair in found)
        assert back == Counter((source, target[1:-1]) for source, target in plain)
    assert halves[0] != halves[1]
    for epoch in (2, 3):
        assert Counter(pairs(data, epoch)) == Counter(plain)


def test_pairs_with_an_empty_target_are_not_turned():
    sources = tf.ragged.constant([[5, 6], [7], [8, 9]], dtype=tf.int32)
    targets = tf.ragged.constant([[10], [], [11, 12, 13]], dtype=tf.int32)
    found = turned(sources, targets, tf.constant([True, True, False]))
    assert [ids.to_list() for ids in found] == [[[10], [7], [8, 9]], [[5, 6], [], [11, 12, 13]]]


def test_directions_that_are_turned_are_segmented_too(prepared):
    data = changed(prepared, **BOTH)
    turning, found = (texts(data, pairs(changed(prepared, **changes), 0)) for changes in ({}, BOTH))
    assert sum((turning & found).values()) == -(-data.train_examples // 2)


# The command.


def train(run, options, **changes):
    flags = [f"--{name}={value}" for name, value in (options | changes).items()]
    return cli.main(["train", "translation", f"--workdir={run}", *flags])


def test_training_learns_and_stopped_in_the_middle_of_two_epochs_ends_with_the_same_bits(options, tmp_path):
    options = options | BOTH
    options |= {"cell": "simple_rnn", "bidirectional": False, "attention": "dot", "tie_embeddings": True}
    options |= {"epochs": 3, "checkpoint_every": 2, "shuffle_buffer": 16, "log_every": 1}
    assert train(tmp_path / "whole", options) == 0
    epochs = [line for line in metrics_lines(tmp_path / "whole") if "train_loss" in line]
    ends = [line["step"] for line in epochs]
    assert len(ends) == 3
    assert ends[0] > 6
    assert epochs[-1]["validation_loss"] < epochs[0]["validation_loss"] - 0.3
    # What is measured afterwards is measured as it was in training.
    data, model = best_model(tmp_path / "whole")
    loss = TASK.evaluate(model, data, "validation").metrics["loss"]
    assert loss == pytest.approx(min(line["validation_loss"] for line in epochs), rel=1e-4)

    config, run = TranslationConfig(**options), RunDirectory(tmp_path / "stopped")
    run.create("translation", config)
    # Of an epoch in both directions, and of one in the wanted direction, some steps after a checkpoint are lost.
    for step in (ends[0] + 3, ends[1] + 5):
        with pytest.raises(KilledError):
            Trainer(TASK, TranslationData(config, run), callbacks=[Kill(step)]).train()
    assert train(run.path, options) == 0

    assert_same_ends(tmp_path / "whole", run.path)


def assert_refused(capsys, code, *said):
    """Exit code 2, and one line of error with these words."""
    assert code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unroll:")]
    for part in said:
        assert part in line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"both_directions": 4}, "--both_directions=4 must be fewer than --epochs=4: the last epochs"),
        (
            {"both_directions": 2, "rewarded_epochs": 2, "monitor": "bleu"},
            "fewer than --epochs=4 without --rewarded_epochs=2",
        ),
        ({"both_directions": -1}, "--both_directions=-1"),
        ({"segmentation_dropout": 1.5}, "--segmentation_dropout=1.5"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, tmp_path, capsys, flags, said):
    assert_refused(capsys, train(tmp_path / "run", options, **flags), said)


def test_both_directions_need_one_vocabulary_from_the_run_that_is_started_from(options, tmp_path, capsys):
    separate = options | {"epochs": 1, "joint_vocabulary": False}
    assert train(tmp_path / "separate", separate) == 0
    capsys.readouterr()
    start = {"initialize_from": tmp_path / "separate", "both_directions": 1}
    assert_refused(
        capsys,
        train(tmp_path / "run", options, **start),
        "--both_directions=1 needs one vocabulary for both languages",
        f"--initialize_from={tmp_path / 'separate'} has two",
    )
