"""The embedded data set of Python sources: its choice of files, and its preparation without a network."""

import json
import socket
import sysconfig
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from tiny_training import best_model

from unroll.tasks import cli
from unroll.tasks.datasets import public
from unroll.tasks.datasets.embedded import python_sources

# Smaller than those of the data set, in characters.
SIZES = {"test": 6_000, "validation": 4_000, "train": 30_000}


@pytest.fixture(scope="module")
def builders(tmp_path_factory):
    """The data set prepared twice, in a small size, while nothing may open a connection."""

    def refuse(*_):
        raise AssertionError("the data set must not use the network")

    builders = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(python_sources.UnrollPython, "SPLIT_SIZES", SIZES)
        for number in range(2):
            builder = tfds.builder("unroll_python", data_dir=tmp_path_factory.mktemp(f"data-{number}"))
            builder.download_and_prepare(file_format="tfrecord")
            builders.append(builder)
    return builders


def examples(builder):
    return {
        split: [(example["name"].decode(), example["text"].decode()) for example in tfds.as_numpy(dataset)]
        for split, dataset in builder.as_dataset(shuffle_files=False).items()
    }


def test_splits_are_whole_files_of_the_library_each_in_one_split(builders):
    library = Path(sysconfig.get_path("stdlib"))
    splits = examples(builders[0])
    names = [name for files in splits.values() for name, _ in files]
    assert splits.keys() == SIZES.keys()
    assert len(set(names)) == len(names) > 3
    for split, files in splits.items():
        lengths = [len(text) for _, text in files]
        assert SIZES[split] <= sum(lengths) < SIZES[split] + max(lengths)
        for name, text in files:
            assert text == (library / name).read_text(encoding="utf-8")


def test_preparation_is_deterministic(builders):
    one, other = builders
    assert examples(one) == examples(other)


def test_data_set_is_trained_on_unless_another_is_named(builders, tmp_path, monkeypatch):
    monkeypatch.setattr(public, "builder", lambda name: {"unroll_python": builders[0]}[name])
    command = ["train", "language_modeling", f"--workdir={tmp_path / 'run'}", "--units=4", "--epochs=1"]
    assert cli.main(command) == 0
    splits = examples(builders[0])
    lengths = [len(text) for _, text in splits["train"]]
    documents = list(best_model(tmp_path / "run")[0].examples("train"))
    assert [document.count() for document in documents] == lengths
    output = tmp_path / "metrics.json"
    for split in ("validation", "test"):
        flags = [f"--split={split}", f"--output={output}", "--ngram_order=3"]
        assert cli.main(["evaluate", f"--workdir={tmp_path / 'run'}", *flags]) == 0
        metrics = json.loads(output.read_text(encoding="utf-8"))
        assert metrics["documents"] == len(splits[split])
        assert metrics["characters"] == sum(len(text) for _, text in splits[split])


def test_tests_and_what_is_no_text_are_left_out(tmp_path):
    library = tmp_path / "lib"
    wanted = {"a.py": "x = 1\n", "package/b.py": "é = 2\n"}
    unwanted = {"test/c.py": "3\n", "package/tests/d.py": "4\n", "site-packages/e.py": "5\n", "f.txt": "6\n"}
    unwanted |= {"empty.py": "\n", "table.py": "7\n" * 60_000}
    for name, text in (wanted | unwanted).items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(text, encoding="utf-8")
    (library / "latin.py").write_bytes("é = 8\n".encode("latin-1"))
    assert dict(python_sources.source_files(library)) == wanted


def test_order_of_the_files_is_random_and_does_not_change(tmp_path):
    for number in range(50):
        (tmp_path / f"{number:02d}.py").write_text(f"{number}\n")
    names = [name for name, _ in python_sources.source_files(tmp_path)]
    assert len(names) == 50
    assert names != sorted(names)
    assert [name for name, _ in python_sources.source_files(tmp_path)] == names
