"""Versions in the server: found, warmed up, chosen, retired, and freed."""

import shutil
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from unroll.common.errors import UserError
from unroll.serving.server.batching import BatchingParameters
from unroll.serving.server.config import metrics_path, model_configs
from unroll.serving.server.errors import RequestError
from unroll.serving.server.models import ModelConfig, Models
from unroll.serving.server.options import ServerOptions
from unroll.serving.server.version import State, Version


@pytest.fixture
def directory(exported_model, tmp_path):
    """The directory of a model with version 1, which a test may change."""
    shutil.copytree(exported_model, tmp_path / "reviews")
    return tmp_path / "reviews"


def add_version(directory, number):
    shutil.copytree(directory / "1", directory / str(number))


def models_of(directory, **config):
    models = Models([ModelConfig("reviews", directory, **config)], warm_up=False)
    models.poll(first=True)
    return models


def available(models):
    return [one.number for one in models.states("reviews", None, None) if one.state == State.AVAILABLE]


def answer(version):
    return version.run("serving_default", {"text": np.array([b"dull"], object)}, 10)["label"].tolist()


def test_a_new_version_answers_and_the_old_one_is_retired_after_its_last_request(directory):
    models = models_of(directory)
    with models.version("reviews") as old:
        add_version(directory, 2)
        # Its files must be seen unchanged twice, since they may still be on their way.
        models.poll()
        assert available(models) == [1]
        models.poll()
        assert available(models) == [2]
        assert old.state == State.UNLOADING
        expected = answer(old)
    assert old.state == State.END
    with models.version("reviews") as new:
        assert (new.number, answer(new)) == (2, expected)
    with (
        pytest.raises(RequestError, match="reviews has no version 1 that answers; those that do: 2"),
        models.version("reviews", 1),
    ):
        pass


def test_a_half_written_version_is_ignored_until_it_is_whole(directory):
    models = models_of(directory)
    (directory / "2" / "variables").mkdir(parents=True)
    models.poll()
    for name in ("saved_model.pb", "variables/variables.index"):
        shutil.copy(directory / "1" / name, directory / "2" / name)
    for _ in range(3):
        models.poll()
    assert available(models) == [1]
    (failed,) = models.states("reviews", 2, None)
    assert failed.state == State.END
    assert failed.error is not None
    assert failed.error.startswith("Version 2 of reviews cannot be loaded: ")
    shutil.copytree(directory / "1", directory / "2", dirs_exist_ok=True)
    for _ in range(2):
        models.poll()
    assert available(models) == [2]


def test_a_damaged_version_leaves_the_old_one_in_place(directory):
    models = models_of(directory)
    add_version(directory, 2)
    path = directory / "2" / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-100] + b"\0" * 100)
    for _ in range(3):
        models.poll()
    assert available(models) == [1]


def test_the_old_version_comes_back_when_the_new_one_is_removed(directory):
    add_version(directory, 2)
    models = models_of(directory)
    shutil.rmtree(directory / "2")
    models.poll()
    models.poll()
    assert available(models) == [1]


def test_without_versions_nothing_answers_and_without_the_directory_nothing_changes(directory, caplog):
    models = models_of(directory)
    directory.rename(directory.with_name("elsewhere"))
    caplog.clear()
    with caplog.at_level("WARNING", "unroll.serve"):
        for _ in range(3):
            models.poll()
    assert [record.getMessage() for record in caplog.records] == [
        f"{directory} cannot be read: No such file or directory."
    ]
    assert available(models) == [1]
    directory.mkdir()
    models.poll()
    assert available(models) == []
    with (
        pytest.raises(RequestError, match="no version that answers; those that do: none"),
        models.version("reviews"),
    ):
        pass


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, [3]),
        ({"newest": 2}, [3, 2]),
        ({"newest": None}, [3, 2, 1]),
        ({"specific": (1, 3, 9)}, [3, 1]),
    ],
)
def test_version_policies(config, expected):
    assert sorted(ModelConfig("reviews", Path(), **config).aspired([1, 2, 3]), reverse=True) == expected


def test_requests_while_versions_change(directory):
    """Every request is answered, whichever version it gets."""
    models, stop, answers = models_of(directory), threading.Event(), []

    def ask():
        while not stop.is_set():
            with models.version("reviews") as version:
                answers.append(answer(version))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 6):
            add_version(directory, number)
            models.poll()
            models.poll()
            shutil.rmtree(directory / str(number - 1)) if number > 2 else None
            assert available(models) == [number]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with models.version("reviews") as version:
        expected = answer(version)
    assert len(answers) > 10
    assert all(one == expected for one in answers)


@pytest.mark.parametrize("batching", [None, BatchingParameters()], ids=["alone", "batched"])
def test_memory_stays_flat_over_version_changes(exported_model, batching):
    def load_and_free():
        version = Version(1, exported_model / "1", batching)
        version.load("reviews", warm_up=False)
        assert version.error is None
        answer(version)
        version.retire()
        assert version.state == State.END

    def resident():
        return psutil.Process().memory_info().rss / 2**20

    # The first ones fill caches of TensorFlow.
    for _ in range(3):
        load_and_free()
    before = resident()
    for _ in range(6):
        load_and_free()
    # MiB; a version that stays takes 46, and the allocator's pools vary.
    assert resident() - before < 2 * 46


def test_a_version_that_fails_its_warm_up_does_not_answer(directory):
    """The warm-up requests of another model."""
    version = Version(1, directory / "1", None)
    (directory / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"damaged")
    version.load("reviews", warm_up=True)
    assert version.state == State.END
    assert version.error is not None


def write(path, text):
    path.write_text(text)
    return str(path)


def test_all_models_of_a_directory_are_served(directory, monkeypatch):
    add = directory.parent / "notes"
    add.mkdir()
    for place, names in ((directory.parent, ["reviews"]), (directory, ["reviews"])):
        monkeypatch.chdir(place)
        assert [config.name for config in model_configs(ServerOptions())] == names
    (directory.parent / "work").mkdir()
    directory.rename(directory.parent / "work" / "exports")
    monkeypatch.chdir(directory.parent / "work")
    assert [config.name for config in model_configs(ServerOptions())] == ["exports"]


def test_the_written_models_config_serves_beside_the_versions(directory, exported_model):
    """Its base_path is that inside a container."""
    (config,) = model_configs(ServerOptions(model_config_file=str(exported_model / "models.config")))
    assert (config.name, config.base_path, config.newest) == ("sentiment", exported_model, 1)


def test_a_models_config_with_policies_and_labels(directory):
    path = write(
        directory.parent / "models.config",
        """model_config_list { config { name: "a" base_path: "reviews" model_version_policy { specific { versions: 1 } }
        version_labels { key: "stable" value: 1 } } config { name: "b" base_path: "reviews"
        model_version_policy { all {} } } }""",
    )
    first, second = model_configs(ServerOptions(model_config_file=path))
    assert (first.base_path, first.specific, first.labels) == (directory, (1,), {"stable": 1})
    assert second.newest is None


ENTRY = 'config { name: "a" base_path: "reviews" } '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("model_config", "cannot be read"),
        ("", "lists no model"),
        ("model_config_list { config {} }", "without a name or a base_path"),
        ('model_config_list { config { name: "a" base_path: "b" } }', "holds no version of a model"),
        (
            'model_config_list { config { name: "a/b" base_path: "b" } }',
            "cannot address a model with the name",
        ),
        (
            'model_config_list { config { name: "a" base_path: "reviews/1" } }',
            "is a version; give the directory",
        ),
        (
            'model_config_list { config { name: "a" base_path: "reviews" } config { name: "a" base_path: "reviews" } }',
            "a name twice",
        ),
    ],
)
def test_wrong_models_config(directory, text, message):
    path = directory.parent / "models.config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        model_configs(ServerOptions(model_config_file=str(path)))


def test_nothing_to_serve(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"holds no exported models, nor does exports/ in it; change to"):
        model_configs(ServerOptions())
    with pytest.raises(UserError, match=r"--model_base_path=.* holds no version of a model"):
        model_configs(ServerOptions(model_base_path=str(tmp_path)))
    with pytest.raises(UserError, match="give one of them"):
        model_configs(ServerOptions(model_base_path="a", model_config_file="b"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ("", None),
    ],
)
def test_monitoring_config(tmp_path, text, expected):
    path = write(tmp_path / "monitoring.config", text)
    assert metrics_path(ServerOptions(monitoring_config_file=path)) == expected


@pytest.mark.parametrize("text", ['prometheus_config { enable: true path: "metrics" }', "prometheus"])
def test_wrong_monitoring_config(tmp_path, text):
    with pytest.raises(UserError):
        metrics_path(ServerOptions(monitoring_config_file=write(tmp_path / "monitoring.config", text)))


def test_the_written_batching_config(exported_model):
    parameters = BatchingParameters.read(exported_model / "batching.config")
    assert parameters == BatchingParameters(64, 2000, 100, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", "cannot be read"),
        ("max_batch_size { value: 0 }", "max_batch_size 0; give at least 1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "they must increase, up to max_batch_size"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 8 allowed_batch_sizes: 4", "they must increase"),
    ],
)
def test_wrong_batching_config(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        BatchingParameters.read(Path(write(tmp_path / "batching.config", text)))
