"""Captioning from the command line and in Python, on eight small images."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from captioned_images import as_flags, image_of, tiny_model_flags, write_captioned_images
from exported import not_verified
from PIL import Image
from tiny_training import (
    Kill,
    KilledError,
    best_model,
    best_weights,
    checkpoint_tensors,
    checkpoints,
    metrics_lines,
)

import unroll.serving as ue
from unroll.common.errors import UserError
from unroll.export import saved_model
from unroll.models.text import END, START
from unroll.serving.c_api import SavedModelSession
from unroll.tasks import cli
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.captioning.data import CaptioningData, read_splits
from unroll.tasks.captioning.task import TASK
from unroll.tasks.datasets import public
from unroll.tasks.datasets.embedded.scene_grammar import generate_scenes
from unroll.tasks.datasets.embedded.scenes import UnrollScenes
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.trainer import Trainer

# Of trainings whose captions do not matter: the graph is made in the shortest time.
QUICK = {"cell": "simple_rnn", "attention": "none", "epochs": 1}
METRICS = {"loss", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The flags of the images."""
    return write_captioned_images(tmp_path_factory.mktemp("data"), zipped=True)


@pytest.fixture(scope="module")
def run(captioning_run):
    return captioning_run


@pytest.fixture(scope="module")
def exported(exported_captioning):
    return exported_captioning


def train(workdir, options):
    return cli.main(["train", "captioning", f"--workdir={workdir}", *as_flags(options)])


def test_evaluation_gives_the_metrics_and_pages_to_look_at(run, capsys):
    assert cli.main(["evaluate", f"--workdir={run}"]) == 0
    found = json.loads((run / "metrics.json").read_text())
    assert found.keys() >= METRICS
    assert found["images"] == 5
    assert 0 <= found["novelty"] <= 1
    assert found["diversity"]["words"] > 4
    # It looks at the images: for others its captions are worse.
    assert found["bleu_4"] > found["shifted"]["bleu_4"] + 10
    assert "images/s" in capsys.readouterr().out
    lines = (run / "captions-test.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["image"] == "green-left.png"
    assert json.loads(lines[0])["references"][0] == "A green field, on the left."
    page = (run / "captions-test.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 5
    assert "http" not in page


def test_other_images_are_tested_by_a_list(run, data, tmp_path):
    (tmp_path / "one.txt").write_text("white-right.png\n", encoding="utf-8")
    output = tmp_path / "metrics.json"
    assert (
        cli.main(
            ["evaluate", f"--workdir={run}", f"--test_data={tmp_path / 'one.txt'}", f"--output={output}"]
        )
        == 0
    )
    assert json.loads(output.read_text())["images"] == 1


def test_python_and_evaluation_say_the_same(run, exported, tmp_path):
    assert cli.main(["evaluate", f"--workdir={run}", f"--output={tmp_path / 'm.json'}"]) == 0
    lines = [json.loads(line) for line in (run / "captions-test.jsonl").read_text().splitlines()]
    model = ue.load(exported)
    for line, result in zip(
        lines, model.caption([image_of("green", "left"), image_of("green", "right")]), strict=False
    ):
        assert result.text == line["caption"]
        assert result.score == pytest.approx(line["score"], abs=1e-3)


def test_the_best_captions_come_first(exported):
    (result,) = ue.load(exported).caption([image_of("red", "left")], n_best=2)
    assert result.n_best[0] == (result.text, result.score)
    assert result.n_best[0][1] >= result.n_best[1][1]
    with pytest.raises(UserError, match="n_best is 3; give 1 to 2, the beam width"):
        ue.load(exported).caption([image_of("red", "left")], n_best=3)
    with pytest.raises(UserError, match="a list of paths or of bytes"):
        ue.load(exported).caption("image.png")


def test_a_bad_image_has_an_error_and_spoils_no_other_one(exported, tmp_path):
    model, good = ue.load(exported), image_of("blue", "right")
    (tmp_path / "good.png").write_bytes(good)
    results = model.caption([good, b"nothing", tmp_path / "missing.png", good[:50], tmp_path / "good.png"])
    assert [bool(result.error) for result in results] == [False, True, True, True, False]
    assert [bool(result.text) for result in results] == [True, False, False, False, True]
    assert results[2].error.startswith("The file cannot be read: No such file")
    endless, empty = model.caption(["/dev/zero", ""])
    assert (endless.error, empty.error) == ("The file has more than 512 MiB.", "The path is empty.")
    assert results[0].text == results[4].text == model.caption([good])[0].text
    assert results[0].score == pytest.approx(model.caption([good])[0].score, abs=1e-5)
    assert results[0].image == ""
    assert results[4].image == str(tmp_path / "good.png")


def test_attention_is_a_map_for_each_token(exported):
    good, bad = ue.load(exported).attend([image_of("green", "left"), b"nothing"])
    assert good.tokens[-1] == "</s>"
    # 16 by 16 pixels, halved three times.
    assert good.weights.shape == (len(good.tokens), 2, 2)
    np.testing.assert_allclose(good.weights.sum((1, 2)), 1, atol=1e-5)
    assert bad.error
    assert not bad.tokens


def test_servers_give_what_python_gives(exported):
    images = np.array([image_of("red", "right"), b"nothing"], object)
    with SavedModelSession(exported / "1") as session:
        assert set(session.signatures) == {"serving_default", "n_best", "attend"}
        found = session.run("serving_default", {"image": images})
    expected = ue.load(exported).caption(list(images))
    assert [text.decode() for text in found["text"]] == [result.text for result in expected]
    np.testing.assert_allclose(found["score"], [result.score for result in expected], atol=1e-4)
    assert [text.decode() for text in found["error"]] == [result.error for result in expected]


def test_prediction_draws_and_prints(exported, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(image_of("red", "left"))
    paths, plot = [str(tmp_path / name) for name in ("a.png", "b.png")], tmp_path / "plot.png"
    flags = [f"--model={exported}", "--n_best=2", f"--plot={plot}"]
    assert cli.main(["predict", *flags, *paths]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == paths
    assert len(lines[0]["n_best"]) == 2
    width, height = Image.open(io.BytesIO(plot.read_bytes())).size
    assert width > 600
    assert height > 200
    (tmp_path / "list.txt").write_text("\n".join(paths), encoding="utf-8")
    assert cli.main(["predict", f"--model={exported}", f"--input={tmp_path / 'list.txt'}"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert cli.main(["predict", *flags, str(tmp_path / "list.txt")]) == 2
    assert "cannot be drawn" in capsys.readouterr().err


def network_with_statistics(path):
    """Writes a network whose last layers are a convolution and its normalisation, frozen as in many files."""
    keras.utils.set_random_seed(0)
    images = keras.Input([16, 16, 3])
    maps = keras.layers.Conv2D(6, 4, strides=4, name="low")(images)
    maps = keras.layers.Conv2D(5, 2, strides=2, name="top")(maps)
    network = keras.Model(images, keras.layers.BatchNormalization(name="normalization")(maps))
    for layer in network.layers:
        layer.trainable = False
    for variable in network.get_layer("normalization").variables:
        variable.assign(variable + np.random.uniform(0.1, 0.9, variable.shape))
    network.save(path)
    return network


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path, data):
    """Killed in an ordinary epoch and in a rewarded one; with layers of a pretrained encoder, too."""
    network_with_statistics(tmp_path / "encoder.keras")
    options = data | tiny_model_flags() | {"checkpoint_every": 1, "dropout": 0.3, "average_last": 2}
    del options["image_size"]
    options |= {
        "image_encoder": str(tmp_path / "encoder.keras"),
        "train_encoder_from": "low",
        "encoder_rate": 0.5,
    }
    options |= {"cell": "simple_rnn", "rewarded_epochs": 1, "monitor": "bleu_4", "r_drop": 1.0}
    options |= {"rewarded_cider": 0.5, "rewarded_likelihood": 0.1}
    options |= {"tokenizer": "subwords", "segmentation_dropout": 0.3}

    config = CaptioningConfig(**options)
    for name in ("whole", "killed"):
        RunDirectory(tmp_path / name).create("captioning", config)

    def trainer(name, *callbacks):
        return Trainer(TASK, CaptioningData(config, RunDirectory(tmp_path / name)), callbacks=callbacks)

    trainer("whole").train()
    # In each of the two epochs, before the last checkpoint.
    for batch in (1, 3):
        with pytest.raises(KilledError):
            trainer("killed", Kill(batch)).train()
    # Not even the features need be there any more.
    shutil.rmtree(tmp_path / "killed" / "features")
    assert train(tmp_path / "killed", options) == 0
    assert metrics_lines(tmp_path / "killed") == metrics_lines(tmp_path / "whole")
    weights = best_weights(tmp_path / "whole")
    for name, value in best_weights(tmp_path / "killed").items():
        np.testing.assert_array_equal(value, weights[name])
    ends = [checkpoint_tensors(checkpoints(tmp_path / name)[-1]) for name in ("whole", "killed")]
    assert ends[0].keys() == ends[1].keys()
    # A position in the data is a number: no checkpoint holds features.
    assert sum(f.stat().st_size for f in checkpoints(tmp_path / "whole")[-1].iterdir()) < 300_000


def test_mirrored_images_are_trained_on_with_the_captions_of_their_image(tmp_path, data, capsys):
    config = CaptioningConfig(**data | tiny_model_flags() | {"mirror_images": True, "max_length": 6})
    directory = RunDirectory(tmp_path / "run")
    directory.create("captioning", config)
    prepared = CaptioningData(config, directory)
    prepared.prepare()
    told = capsys.readouterr()
    assert "Encoding 16 train images" in told.err
    assert "Encoding 3 validation images" in told.err
    assert prepared.train_examples == 16
    seen = {}
    for batch in prepared.batches(0, fixed_shapes=False):
        for pixels, captions in zip(batch["images"].numpy(), batch["captions"].numpy(), strict=True):
            seen[pixels.tobytes()] = (pixels, captions[captions > 0].tolist())
    assert len(seen) == 8
    # As each image is another one from right to left, it is seen with the captions of both.
    pixels, _ = next(iter(seen.values()))
    assert np.ascontiguousarray(pixels[:, ::-1]).tobytes() in seen


def test_each_epoch_splits_the_same_captions_into_other_subwords(tmp_path, data):
    changes = {"tokenizer": "subwords", "vocabulary_size": 40, "max_length": 30, "segmentation_dropout": 0.4}
    config = CaptioningConfig(**data | tiny_model_flags() | changes)
    directory = RunDirectory(tmp_path / "run")
    directory.create("captioning", config)
    prepared = CaptioningData(config, directory)
    prepared.prepare()

    def captions(batches):
        """The captions of each image, as ids and as texts."""
        ids, texts = {}, {}
        for batch in batches:
            for pixels, rows in zip(batch["images"].numpy(), batch["captions"].numpy(), strict=True):
                assert rows.shape[1] <= 32
                ids[pixels.tobytes()] = [tuple(row[row > 0].tolist()) for row in rows]
                texts[pixels.tobytes()] = prepared.codec.decode(tf.constant(rows)).numpy().tolist()
        return ids, texts

    plain, texts = captions(prepared.sequences())
    epochs = [captions(prepared.batches(epoch, fixed_shapes=bool(epoch))) for epoch in (0, 1)]
    for ids, written in epochs:
        assert written == texts
        assert ids != plain
        for row in (row for rows in ids.values() for row in rows):
            assert (row[0], row[-1]) == (START, END)
            assert not {START, END} & {*row[1:-1]}
    assert epochs[0][0] != epochs[1][0]
    assert captions(prepared.batches(0, fixed_shapes=False)) == epochs[0]
    rewarded = CaptioningData(dataclasses.replace(config, rewarded_epochs=1, monitor="bleu_4"), prepared.run)
    assert captions(rewarded.batches(1, fixed_shapes=False))[0] == plain


@pytest.mark.usefixtures("replayed_here")
def test_a_frozen_encoder_is_cached_kept_and_exported(tmp_path, data, capsys):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input([16, 16, 3]), keras.layers.Conv2D(6, 8, strides=4), keras.layers.BatchNormalization()]
    )
    network.save(tmp_path / "encoder.keras")
    options = data | tiny_model_flags() | {"image_encoder": tmp_path / "encoder.keras", "epochs": 1}
    del options["image_size"]
    shared = options | QUICK | {"feature_cache": tmp_path / "features"}
    assert train(tmp_path / "one", shared) == 0
    assert "Encoding 8 train images" in capsys.readouterr().err
    # Another run finds the features; the decoder has nothing to do with them.
    assert train(tmp_path / "two", shared | {"units": 8, "image_as": "input"}) == 0
    assert "Encoding" not in capsys.readouterr().err
    # The run does not need the file any more.
    (tmp_path / "encoder.keras").unlink()
    assert cli.main(["export", f"--workdir={tmp_path / 'two'}", f"--output={tmp_path / 'exports'}"]) == 0
    assert ue.load(tmp_path / "exports").caption([image_of("red", "left")])[0].error == ""


@pytest.mark.usefixtures("replayed_here")
def test_the_last_layers_of_an_encoder_are_trained_and_exported(tmp_path, data, capsys):
    network = network_with_statistics(tmp_path / "encoder.keras")
    options = data | tiny_model_flags() | QUICK | {"image_encoder": tmp_path / "encoder.keras"}
    del options["image_size"]
    options |= {"train_encoder_from": "low", "encoder_rate": 0.5, "random_crops": 2, "mirror_images": True}
    options |= {"image_encoder_layers": "low"}
    assert train(tmp_path / "run", options) == 0
    assert "Encoding 32 train images" in capsys.readouterr().err
    # The same command resumes.
    assert train(tmp_path / "run", options) == 0
    (folder,) = (path for path in (tmp_path / "run" / "features").iterdir() if path.name.endswith("-32"))
    assert np.load(next(folder.glob("*.npy"))).shape == (32, 4, 4, 6)
    _, model = best_model(tmp_path / "run")
    kernel = next(v for v in model.image_encoder.trainable_variables if "kernel" in v.path) * 0.5
    assert 0 < np.abs(kernel - network.get_layer("top").kernel).max() < 0.1
    # The run does not need the file any more.
    (tmp_path / "encoder.keras").unlink()
    assert cli.main(["export", f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'exports'}"]) == 0
    exported = ue.load(tmp_path / "exports")
    assert exported.caption([image_of("red", "left")])[0].error == ""


def test_a_run_starts_from_another_one_with_its_encoder_and_images_of_its_own(
    tmp_path, data, run, capsys, monkeypatch
):
    keras.utils.set_random_seed(0)
    images = keras.Input([16, 16, 3])
    frozen = keras.layers.Conv2D(6, 4, strides=4, name="low")(images)
    keras.Model(images, keras.layers.Conv2D(5, 2, strides=2)(frozen)).save(tmp_path / "encoder.keras")
    options = data | QUICK | {name: tiny_model_flags()[name] for name in ("learning_rate", "batch_tokens")}
    chosen = {"image_encoder": tmp_path / "encoder.keras", "train_encoder_from": "low"}
    assert train(tmp_path / "first", options | chosen | {"units": 8, "embedding_size": 4}) == 0
    # The second run needs the file no more.
    (tmp_path / "encoder.keras").unlink()
    start = {"initialize_from": tmp_path / "first", "random_crops": 1}
    assert train(tmp_path / "second", options | start) == 0
    counts = sorted(path.name.split("-")[1] for path in (tmp_path / "second" / "features").iterdir())
    assert counts == ["16", "3"]
    # Crops change the features of the training, not those that a model reads.
    runs = f"--runs={tmp_path / 'first'},{tmp_path / 'second'}"
    assert cli.main(["evaluate", runs]) == 0
    monkeypatch.setattr(saved_model, "verification", not_verified)
    assert cli.main(["export", runs, f"--output={tmp_path / 'exports'}"]) == 0
    capsys.readouterr()
    assert train(tmp_path / "third", options | start | {"train_encoder_from": "top"}) == 2
    assert "has --train_encoder_from=low; leave it out" in capsys.readouterr().err
    assert cli.main(["evaluate", f"--runs={tmp_path / 'first'},{run}"]) == 2
    assert f"{run} has another frozen encoder than" in capsys.readouterr().err


def test_mistakes_in_the_layers_of_an_encoder_name_their_option(tmp_path, data, capsys):
    network = keras.Sequential([keras.Input([16, 16, 3]), keras.layers.Conv2D(6, 8, strides=4, name="only")])
    network.save(tmp_path / "encoder.keras")
    options = data | QUICK | {"image_encoder": tmp_path / "encoder.keras"}
    for name, value, message in (
        ("train_encoder_from", "only", "--train_encoder_from=only does not fit --image_encoder="),
        ("train_encoder_from", "", "the network has no layer ''"),
        ("image_encoder_layers", "no", "--image_encoder_layers=no does not fit --image_encoder="),
        ("image_encoder_weights", "a.h5", "a.h5 has an effect only with a network of keras.applications"),
    ):
        assert train(tmp_path / "run", options | {name: value}) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_rewarded_epochs_raise_the_reward(tmp_path, data):
    options = {"epochs": 14, "rewarded_epochs": 8, "rewarded_learning_rate": 0.02, "monitor": "bleu_4"}
    assert train(tmp_path / "run", data | tiny_model_flags() | options) == 0
    losses = [line["train_loss"] for line in metrics_lines(tmp_path / "run") if "train_loss" in line]
    assert len(losses) == 14
    # 1 - reward, from the seventh epoch on.
    assert 1 > losses[6] > losses[-1] + 0.1
    rates = [line["learning_rate"] for line in metrics_lines(tmp_path / "run") if "learning_rate" in line]
    assert max(rates) == rates[0] == pytest.approx(0.02)
    assert rates[-1] < 0.002


def test_epochs_hold_no_more_files_open(tmp_path, data):
    config = CaptioningConfig(**data | tiny_model_flags())
    directory = RunDirectory(tmp_path / "run")
    directory.create("captioning", config)
    prepared = CaptioningData(config, directory)
    prepared.prepare()
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("The system has no /proc, where mapped files are counted.")
    for epoch in range(3):
        assert len(list(prepared.batches(epoch, fixed_shapes=False))) > 0
        assert maps.read_text().count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_encoder": "ResNet51"}, "--image_encoder=ResNet51 cannot be used"),
        (
            {"image_encoder": "mobilenetv2", "image_encoder_weights": "a.h5"},
            "no such file; keras.applications has MobileNetV2",
        ),
        ({"image_encoder": "missing.keras"}, "no such file"),
        ({"captions": "missing.txt"}, "missing.txt cannot be read"),
        ({"images": "missing.zip"}, "missing.zip cannot be read"),
        ({"train_data": "missing.txt"}, "missing.txt cannot be read"),
        ({"max_length": 1}, "captions are empty or longer than --max_length=1"),
        ({"attention": "none", "doubly_stochastic": 1}, "--doubly_stochastic"),
        ({"dataset": "unroll_reviews"}, "--images is for files"),
        ({"beam_width": 20, "vocabulary_size": 10}, "--beam_width=20 is larger"),
        ({"r_drop": 1}, "--r_drop=1 compares two passes with different dropout, and this run has none"),
        ({"rewarded_epochs": 2, "monitor": "bleu_4"}, "--rewarded_epochs=2 must be fewer than --epochs=2"),
        ({"rewarded_epochs": 1}, "choose the best weights by another metric"),
        (
            {"rewarded_epochs": 1, "monitor": "bleu_4", "rewarded_cider": 1, "vocabulary_size": 60000},
            "--rewarded_cider=1 needs a vocabulary of at most 55000 tokens",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path, data, capsys, changed, message):
    assert train(tmp_path / "run", data | tiny_model_flags() | changed) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_damaged_training_image_is_named(tmp_path, capsys):
    options = write_captioned_images(tmp_path / "data")
    path = tmp_path / "data" / "images" / "blue-left.png"
    path.write_bytes(path.read_bytes()[:60])
    assert train(tmp_path / "run", options | tiny_model_flags() | QUICK) == 2
    assert "The image blue-left.png cannot be used. The image is damaged" in capsys.readouterr().err
    # After a repair, the same command resumes.
    path.write_bytes(image_of("blue", "left"))
    assert train(tmp_path / "run", options | tiny_model_flags() | QUICK) == 0


def test_another_encoder_may_be_chosen_until_the_data_is_prepared(tmp_path):
    options = write_captioned_images(tmp_path / "data") | tiny_model_flags() | QUICK
    network = keras.Sequential([keras.Input([16, 16, 3]), keras.layers.Conv2D(6, 8, strides=4)])
    network.save(tmp_path / "encoder.keras")
    path = tmp_path / "data" / "images" / "blue-left.png"
    path.write_bytes(b"nothing")
    assert train(tmp_path / "run", options | {"image_encoder": tmp_path / "encoder.keras"}) == 2
    path.write_bytes(image_of("blue", "left"))
    assert train(tmp_path / "run", options | {"image_encoder": "small"}) == 0
    prepared, model = best_model(tmp_path / "run")
    assert prepared.sizes.features is None
    assert model.image_encoder is not None


def test_changed_images_are_noticed_when_their_features_are_gone(tmp_path, capsys):
    options = write_captioned_images(tmp_path / "data") | tiny_model_flags()
    config, directory = CaptioningConfig(**options), RunDirectory(tmp_path / "run")
    directory.create("captioning", config)
    CaptioningData(config, directory).prepare()
    shutil.rmtree(tmp_path / "run" / "features")
    (tmp_path / "data" / "images" / "blue-left.png").write_bytes(image_of("red", "left"))
    assert train(tmp_path / "run", options) == 2
    assert "the images are not those any more" in capsys.readouterr().err


@pytest.fixture
def _fresh_builders():
    public.builder.cache_clear()
    yield
    public.builder.cache_clear()


@pytest.mark.usefixtures("_fresh_builders")
def test_coco_captions_by_name(monkeypatch):
    """As tensorflow-datasets describes them, with examples that it makes up."""
    splits = dict.fromkeys(("train", "val", "test"), SimpleNamespace(num_bytes=0, num_examples=3))
    rows = {
        "image": [image_of("red", "left"), image_of("blue", "left")],
        "captions": {"text": [["One.", "Two."], ["Three.", "Four."]]},
    }
    read = lambda self, **_: tf.data.Dataset.from_tensor_slices(rows)  # noqa: E731
    with tfds.testing.mock_data(as_dataset_fn=read):
        builder = public.builder("coco_captions")
        monkeypatch.setattr(type(builder.info), "splits", property(lambda info: splits))
        assert public.available_splits("coco_captions") == ["train", "validation", "test"]
        examples = list(read_splits(CaptioningConfig(dataset="coco_captions")).read("validation"))
    assert [example.captions for example in examples] == [("One.", "Two."), ("Three.", "Four.")]
    assert [example.image.read() for example in examples] == rows["image"]
    assert len({example.image.name for example in examples}) == 2


@pytest.mark.usefixtures("_fresh_builders")
def test_the_embedded_scenes_are_trained_on_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(UnrollScenes, "SPLIT_SIZES", {"train": 6, "validation": 3, "test": 3})
    monkeypatch.setattr(tfds, "builder", partial(tfds.builder, data_dir=tmp_path / "data"))
    options = tiny_model_flags() | QUICK | {"image_size": 32}
    assert train(tmp_path / "run", options) == 0
    examples = list(CaptioningData(CaptioningConfig(), RunDirectory(tmp_path / "run")).splits.read("train"))
    assert [len(example.captions) for example in examples] == [4] * 6
    scenes = {scene.captions for scene in generate_scenes("train", 6)}
    assert {example.captions for example in examples} == scenes
    assert Image.open(io.BytesIO(examples[0].image.read())).size == (64, 64)
    assert cli.main(["evaluate", f"--workdir={tmp_path / 'run'}"]) == 0


def test_other_data_sets_are_refused():
    with pytest.raises(UserError, match="captioning needs image and captions"):
        next(public.read_captioned_images("unroll_reviews", "train"))


def test_the_python_interface_imports_nothing_of_the_training():
    code = (
        "import sys, unroll.serving.loader, unroll.serving.captioning; "
        "print([m for m in sys.modules if m.startswith(('unroll.tasks', 'unroll.models'))])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
