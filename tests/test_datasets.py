"""Sources of examples, and their splitting, shuffling and batching."""

import gzip
import itertools
import os
from collections import Counter
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from unroll.common.errors import UserError
from unroll.tasks.datasets import public
from unroll.tasks.datasets.batching import (
    BatchLimits,
    batch_by_tokens,
    bucket,
    bucket_boundaries,
    chunks,
    count_batches,
    length_sorted_batches,
)
from unroll.tasks.datasets.embedded import reviews
from unroll.tasks.datasets.shards import read_shards, write_shards
from unroll.tasks.datasets.sources import readers
from unroll.tasks.datasets.splits import SPLITS, Splits, missing
from unroll.tasks.datasets.tables import has_columns, read_table, refuse_table
from unroll.tasks.training.config import DataConfig

# Parts of a data set.

EXAMPLES = [(f"review {number}", "good" if number % 3 else "bad") for number in range(2000)]
FRACTIONS = {"test": 0.2, "validation": 0.1}


def parted(examples=EXAMPLES, fractions=FRACTIONS, **parts):
    """The examples of each part that can be read."""
    splits = Splits({"train": lambda: iter(examples)} | parts, fractions)
    return {split: list(splits.read(split)) for split in SPLITS if split in parts or fractions.get(split, 1)}


def test_cut_parts_are_disjoint_and_complete_and_keep_the_order():
    parts = parted()
    assert sorted(itertools.chain(*parts.values())) == sorted(EXAMPLES)
    for examples in parts.values():
        assert examples == sorted(examples, key=EXAMPLES.index)


def test_cut_parts_have_the_share_asked_for():
    for split, share in {"train": 0.7, **FRACTIONS}.items():
        # Four standard deviations.
        assert abs(len(parted()[split]) / len(EXAMPLES) - share) < 4 * (share * (1 - share) / 2000) ** 0.5


def test_parts_do_not_depend_on_the_order_or_on_other_examples():
    turned_round = parted(EXAMPLES[::-1])
    some = parted(EXAMPLES[500:700])
    for split, examples in parted().items():
        assert turned_round[split] == examples[::-1]
        assert some[split] == [example for example in examples if example in EXAMPLES[500:700]]


def test_repeated_examples_stay_together():
    parts = parted(EXAMPLES[:300] * 3)
    for split, other in itertools.combinations(parts, 2):
        assert set(parts[split]).isdisjoint(parts[other])
    assert all(count == 3 for examples in parts.values() for count in Counter(examples).values())


def test_examples_of_any_bytes_are_parted():
    examples = [(f"\udcff \0 \ud800 {number}", "good") for number in range(100)]
    assert sum(map(len, parted(examples).values())) == 100


def test_parts_that_exist_are_not_cut():
    parts = parted(test=lambda: iter(["mine"]))
    assert parts["test"] == ["mine"]
    assert sorted(parts["train"] + parts["validation"]) == sorted(EXAMPLES)
    everything = parted(test=lambda: iter(["mine"]), validation=lambda: iter(["yours"]))
    assert everything == {"train": EXAMPLES, "validation": ["yours"], "test": ["mine"]}


def test_parts_can_be_read_again():
    splits = Splits({"train": lambda: iter(EXAMPLES)}, FRACTIONS)
    assert list(splits.read("validation")) == list(splits.read("validation")) != []


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("fractions", [{}, {"validation": 0.0, "test": 0.0}])
def test_a_missing_part_names_the_flags(split, fractions):
    splits = Splits({"train": lambda: iter(EXAMPLES)}, fractions)
    assert list(splits.read("train")) == EXAMPLES
    with pytest.raises(UserError, match=rf"no {split} part.*--{split}_data.*--{split}_fraction"):
        list(splits.read(split))


def test_a_missing_test_part_names_the_flags_of_evaluate():
    assert str(missing("test")) == (
        "The data has no test part; evaluate with --test_data=FILE or --split=validation, or train with --test_data or "
        "a --test_fraction above 0."
    )


def test_a_part_to_which_nothing_falls_names_the_flags():
    splits = Splits({"train": lambda: iter(EXAMPLES[:5])}, {"test": 0.001, "validation": 0.0})
    assert list(splits.read("train")) == EXAMPLES[:5]
    with pytest.raises(UserError, match=r"--test_fraction=0.001.*test part.*empty"):
        list(splits.read("test"))


# Tables.

COLUMNS = ("text", "label")


@pytest.fixture
def table(tmp_path):
    """A function that writes a file and returns its path."""

    def write(name, content):
        content = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return write


def read(path, columns=COLUMNS):
    return list(read_table(path, columns))


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.tsv.gz", "a"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tsv_takes_quotes_and_commas_as_they_stand(table, name, newline):
    lines = ["id\ttext\tlabel", '1\t"A, b\tgood', "", '2\tsay ""no"" \tbad', "3\t\tbad", ""]
    assert read(table(name, newline.join(lines))) == [('"A, b', "good"), ('say ""no"" ', "bad"), ("", "bad")]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_takes_quotes_and_line_breaks_within_them(table, name):
    content = 'label,text\ngood,"one, ""two""\nthree\r\nfour"\n\nbad,"tab\there"\ngood,plain'
    assert read(table(name, content)) == [
        ('one, "two"\nthree\r\nfour', "good"),
        ("tab\there", "bad"),
        ("plain", "good"),
    ]


def test_columns_come_in_the_order_asked_for(table):
    path = table("a.tsv", "x\ty\tz\n1\t2\t3\n")
    assert read(path, ("z", "x")) == [("3", "1")]
    assert read(path, ("y",)) == [("2",)]


def test_a_byte_order_mark_is_no_part_of_the_first_column(table):
    assert read(table("a.csv", "\ufefftext,label\nfilm\ufeff,good\n")) == [("film\ufeff", "good")]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_a_field_may_be_long(table, name):
    separator = "," if name.endswith("csv") else "\t"
    text = "long " * 60_000
    assert read(table(name, f"text{separator}label\n{text}{separator}good\n")) == [(text, "good")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", "empty"),
        ("a.csv.gz", "", "empty"),
        ("a.tsv", "text\tlabel\n", "header, but no rows"),
        ("a.csv", "text,label\n\n\n", "header, but no rows"),
        ("a.tsv", "review\tlabel\nfilm\tgood\n", "no column 'text'.*review, label.*--text_column"),
        (
            "a.csv",
            "text\tlabels\nfilm\tgood\n",
            "no column 'label'; its columns are text, labels, separated by tabs",
        ),
        (
            "a.csv",
            "a great film,good\na bad film,bad\n",
            "no column 'text'.*names of the columns into the first line",
        ),
        ("a.csv", 'text,label,"x\ny",label2\n', "header, but no rows"),
        ("a.csv", 'x,"text,label\na,b\n', "no column 'text'; its columns are x, text,label, separated"),
        ("a.csv", 'text,label,"x\n",,label\n', "2 columns 'label'"),
        ("a.csv", '"x\n,text,label\ny"\n', "no column 'text'; its columns are x"),
        ("a.csv", "text,label,label\nfilm,good,bad\n", "2 columns 'label'; rename"),
        ("a.tsv", "text\tlabel\nfilm\tgood\nfilm\n", r"line 3: 1 field\b.* header has 2"),
        ("a.tsv", "text\tlabel\nfilm\tgood\tbad\n", r"line 2: 3 fields.* header has 2"),
        ("a.csv", 'text,label\n"two\nlines",good\nfilm\n', r"line 4: 1 field\b"),
        ("a.csv", 'text,label\n"never closed,good\nfilm,bad\n', "line 2: a quote begins"),
        (
            "a.csv",
            'text,label\na,b\n"never closed,good\nfilm,bad\n"quoted, too",bad\n',
            "line 3: a quote begins",
        ),
        ("a.csv", 'text,label\n"two\nlines","good\nfilm,bad\n', "line 3: a quote begins"),
        ("a.csv", 'text,label\n"more" than that,good\n', "line 2: a quote begins"),
        (
            "a.csv",
            'text,label\n"never closed,good\n' + "film,bad\n" * 300 + 'the, "end",bad\n',
            "line 2: a quote",
        ),
        (
            "a.csv",
            'text,label\n"never closed,good\n' + "film,bad\n" * 300 + 'the end",bad\n',
            "line 2: a quote",
        ),
        (
            "a.tsv",
            'text\tlabel\n"say ""no"""\tgood\n"never closed\tgood\nfilm\tbad\n',
            "line 3: a quote begins",
        ),
        ("a.jsonl", '{"text": "film"}\n', "line 1: the object has no 'label'; it has 'text'"),
        ("a.jsonl", '{"text": "film", "label": null}\n', "line 1: 'label' is null, but a text was expected"),
        (
            "a.jsonl",
            '{"text": "film", "label": "a"}\n{"text"\n',
            "line 2: this is no JSON.*one object on each line",
        ),
        ("a.jsonl", '{"text": "cut \\ud83d", "label": "a"}\n', "'text' has half a surrogate pair"),
        (
            "a.json",
            '[{"text": "film", "label": "a"}]\n',
            r"is a JSON array, .*`jq -c '\.\[\]' .*a\.json > .*a\.jsonl`",
        ),
        ("a.jsonl", '{"text": ' + "[" * 100_000, "line 1: .*JSON"),
    ],
)
def test_a_table_that_cannot_be_used(table, name, content, message):
    path = table(name, content)
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"one, ""two""",good\nthree,bad\n'),
        ("A.CSV", 'text,label\n"one, ""two""",good\nthree,bad\n'),
        ("a.tsv", 'text,label\n"one, ""two""",good\nthree,bad\n'),
        ("a.csv", 'text;label\none, "two";good\nthree;bad\n'),
        ("a.csv", 'text\tlabel\none, "two"\tgood\nthree\tbad\n'),
        ("a.txt", ' text | label \none, "two"|good\nthree|bad\n'),
        ("a.tsv", '"text"\t"label"\n"one, ""two"""\t"good"\n"three"\t"bad"\n'),
        ("a.tsv", 'text\tlabel\n"one, ""two"""\tgood\nthree\tbad\n'),
        ("a.csv", ',text,id, label\r\n0,"one, ""two""",7,good\r\n1,three,8,bad\r\n'),
        ("a.csv", '\r\n  \ntext,label\n"one, ""two""",good\n\nthree,bad'),
        ("a.csv", 'text,label\r"one, ""two""",good\rthree,bad\r'),
        (
            "a.jsonl",
            '{"text": "one, \\"two\\"", "label": "good", "x": null}\n\n{"label": "bad", "text": "three"}',
        ),
        ("a.csv", '{"text": "one, \\u0022two\\u0022", "label": "good"}\n{"label": "bad", "text": "three"}\n'),
    ],
)
def test_a_table_is_known_by_its_content(table, name, content):
    assert read(table(name, content)) == [('one, "two"', "good"), ("three", "bad")]


def test_quotes_around_a_whole_field_of_a_tsv_file_may_be_part_of_the_text(table):
    content = 'text\tlabel\n"Great!"\tgood\n"It was", he said\tbad\n"unclosed\tbad\n'
    assert [text for text, _ in read(table("a.tsv", content))] == [
        '"Great!"',
        '"It was", he said',
        '"unclosed',
    ]


def test_quotes_of_a_single_column(table):
    assert read(table("a.tsv", 'text\n"Great!"\n"It was" he said\n'), ["text"]) == [
        ('"Great!"',),
        ('"It was" he said',),
    ]
    assert read(table("a.tsv", '"text"\n"Great!"\n"It was"\n'), ["text"]) == [("Great!",), ("It was",)]


def test_a_quoted_field_of_a_tsv_file_may_have_tabs_and_line_breaks(table):
    content = 'text\tlabel\nplain\tgood\n"two\nlines"\tbad\n"a\ttab"\tbad\n'
    assert [text for text, _ in read(table("a.tsv", content))] == ["plain", "two\nlines", "a\ttab"]


def test_a_long_text_with_commas_is_no_swallowed_table(table):
    text = "\n".join(f"Line {number}, and more." + "," * (number % 3) for number in range(100))
    assert read(table("a.csv", f'text,label\n"{text}",good\nfilm,bad\n')) == [(text, "good"), ("film", "bad")]


def test_numbers_and_truth_values_of_json_lines_are_labels_as_they_are_written(table):
    lines = [f'{{"text": "x", "label": {label}}}' for label in ("1", "1.0", "true", '"1"')]
    assert [label for _, label in read(table("a.jsonl", "\n".join(lines)))] == ["1", "1.0", "true", "1"]


@pytest.mark.parametrize(
    "content", ["text,label\na,b\nfilm, \n", '{"text":"a","label":"b"}\n\n{"text":"","label":""}']
)
def test_a_column_that_must_not_be_blank(table, content):
    with pytest.raises(UserError, match=r"line 3 has nothing in the column 'label'"):
        list(read_table(table("a.csv", content), COLUMNS, filled=["label"]))
    assert len(read(table("a.csv", content))) == 2


@pytest.mark.parametrize(
    ("name", "content", "is_table"),
    [
        ("a.csv", "text,label\n", True),
        ("a.TSV.gz", "text\tlabel\n", True),
        ("a.txt", '{"text": "film", "label": "a"}\n', True),
        ("a.txt", "{not JSON}\n", False),
        ("a.txt", "One, two\tthree.\n", False),
        ("a.csv", "", False),
    ],
)
def test_a_table_in_the_place_of_lines_is_refused_with_its_columns(table, name, content, is_table):
    path = table(name, content)
    if not is_table:
        refuse_table(path, "a text file")
        return
    with pytest.raises(UserError, match=r"is a table with the columns text, label; .*--text_column"):
        refuse_table(path, "a text file")


def test_columns_are_found_whatever_separates_them(table):
    for content in (
        "image,caption\n",
        "image | caption",
        '{"caption": "", "image": ""}',
        '"image"\t"caption"',
    ):
        assert has_columns(table("a", content), ["image", "caption"])
        assert not has_columns(table("a", content), ["image", "text"])
    for content in ("", "a.jpg#0\tA dog.\n", "{", '{"image": 1}'):
        assert not has_columns(table("a", content), ["image", "caption"])


def test_a_pipe_cannot_be_trained_on(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    config = DataConfig(train_data=str(tmp_path / "pipe"))
    with pytest.raises(UserError, match=r"--train_data=.*pipe is a pipe or a device"):
        readers(config, lambda path: [], lambda name, split: [])


def test_rows_before_a_bad_one_are_read(table):
    rows = read_table(table("a.tsv", "text\tlabel\nfilm\tgood\nfilm\n"), COLUMNS)
    assert next(rows) == ("film", "good")
    with pytest.raises(UserError):
        next(rows)


def damaged(name):
    """Bytes of a gzipped table with one fault."""
    whole = gzip.compress(b"text\tlabel\n" + b"".join(b"film %d\tgood\n" % n for n in range(500)))
    return {
        "no gzip at all": b"text\tlabel\nfilm\tgood\n",
        "cut short": whole[:-20],
        "no known compression": whole[:10] + b"\xff" + whole[11:],
        "a byte changed": whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
        "checksum changed": whole[:-8] + bytes([whole[-8] ^ 255]) + whole[-7:],
        "nothing": b"",
    }[name]


@pytest.mark.parametrize(
    "fault",
    ["no gzip at all", "cut short", "no known compression", "a byte changed", "checksum changed", "nothing"],
)
def test_a_damaged_gz_file(tmp_path, fault):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(damaged(fault))
    with pytest.raises(UserError, match=r"a\.tsv\.gz"):
        read(str(path))


@pytest.mark.parametrize(
    "name", ["missing.tsv", "missing.csv.gz", "folder", "folder.tsv.gz", "folder/missing"]
)
def test_a_missing_file_or_a_folder(tmp_path, name):
    for folder in ("folder", "folder.tsv.gz"):
        (tmp_path / folder).mkdir()
    with pytest.raises(UserError, match=r"cannot be read.*TSV or CSV"):
        read(str(tmp_path / name))


# Sets of tensorflow-datasets.


@pytest.fixture(autouse=True)
def no_prepared_builders():
    """Builders are kept for the process; one made on mock data must not outlive its test."""
    public.builder.cache_clear()
    yield
    public.builder.cache_clear()


@pytest.fixture
def mock_data():
    with tfds.testing.mock_data(num_examples=7):
        yield


@pytest.mark.parametrize(
    ("name", "text_column", "labels"),
    [("imdb_reviews", "text", {"pos", "neg"}), ("glue/sst2", "sentence", {"positive", "negative"})],
)
@pytest.mark.usefixtures("mock_data")
def test_public_sets_give_text_and_names_of_labels(name, text_column, labels):
    examples = list(public.read_features(name, "train", (text_column, "label")))
    assert len(examples) == 7
    assert all(type(text) is str and text for text, _ in examples)
    assert {label for _, label in examples} == labels
    assert examples == list(public.read_features(name, "train", (text_column, "label")))
    swapped = list(public.read_features(name, "train", ("label", text_column)))
    assert swapped == [(label, text) for text, label in examples]


def from_rows(rows):
    """A data set of these rows, with which `mock_data` replaces the reading of a builder."""
    return lambda self, **_: tf.data.Dataset.from_tensor_slices(rows)


def test_public_text_may_hold_any_bytes():
    rows = {"text": [b"caf\xe9 \0", "naïve".encode()], "label": [0, 1]}
    with tfds.testing.mock_data(as_dataset_fn=from_rows(rows)):
        examples = list(public.read_features("imdb_reviews", "test", ("text", "label")))
    assert examples == [("caf\udce9 \0", "neg"), ("naïve", "pos")]


def test_hidden_labels_are_refused():
    rows = {"sentence": ["known", "hidden"], "label": [1, -1], "idx": [0, 1]}
    with tfds.testing.mock_data(as_dataset_fn=from_rows(rows)):
        examples = public.read_features("glue/sst2", "test", ("sentence", "label"))
        assert next(examples) == ("known", "positive")
        with pytest.raises(UserError, match="'glue/sst2', split 'test' hides its labels"):
            next(examples)


@pytest.mark.usefixtures("mock_data")
def test_a_feature_that_a_public_set_lacks():
    with pytest.raises(UserError, match=r"no feature 'text'; it has sentence, label, idx.*--text_column"):
        next(public.read_features("glue/sst2", "train", ("text", "label")))


@pytest.mark.parametrize(
    "name",
    [
        "no_such_set",
        "",
        "two words",
        "imdb_reviews/no_such_configuration",
        "imdb_reviews:99.0.0",
        "../escape",
        "huggingface:imdb",
        "unknown:imdb",
    ],
)
@pytest.mark.usefixtures("mock_data")
def test_an_unknown_public_set(name):
    with pytest.raises(UserError) as error:
        public.builder(name)
    assert repr(name) in str(error.value)
    assert "--dataset=files" in str(error.value)
    assert "unroll_reviews" in str(error.value)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(ConnectionError("No route.\nDetails follow."), "(No route)"), (AssertionError(), "(AssertionError)")],
)
@pytest.mark.usefixtures("mock_data")
def test_a_download_that_fails_says_so_in_a_sentence(monkeypatch, capsys, failure, reason):
    def fail(self):
        raise failure

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError) as error:
        public.builder("imdb_reviews")
    assert "cannot be fetched" in str(error.value)
    assert reason in str(error.value)
    assert "--dataset=files" in str(error.value)
    assert "\n" not in str(error.value)
    assert "Downloading imdb_reviews" in capsys.readouterr().err


def test_an_embedded_set_is_made_by_name(tmp_path, monkeypatch, capsys):
    # tensorflow-datasets reads TFDS_DATA_DIR when it is imported, and keeps it here.
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    sizes = {"train": 12, "validation": 4, "test": 4}
    monkeypatch.setattr(reviews.UnrollReviews, "SPLIT_SIZES", sizes)
    read_split = partial(public.read_features, "unroll_reviews", features=COLUMNS)
    examples = {split: list(read_split(split)) for split in sizes}
    assert {split: len(rows) for split, rows in examples.items()} == sizes
    for rows in examples.values():
        assert {label for _, label in rows} == {"negative", "positive"}
        assert len({text for text, _ in rows}) == len(rows)
    assert "Making unroll_reviews" in capsys.readouterr().err
    public.builder.cache_clear()
    assert {split: list(read_split(split)) for split in sizes} == examples
    assert "Making" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "downloads"] == [
        "unroll_reviews"
    ]


# Shards.


def numbered(lengths):
    """Examples told apart by their label, one for each length."""
    return [{"ids": np.arange(1, n + 1), "label": np.array([number])} for number, n in enumerate(lengths)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder with 300 examples of 0 to 29 tokens, sorted by length when they were written."""
    folder = tmp_path_factory.mktemp("shards")
    write_shards(numbered(sorted(n % 30 for n in range(300))), folder, shards=4, seed=3)
    return folder


def labels_of(examples):
    return [int(example["label"]) for example in examples]


def shuffled(folder, seed=0, buffer=64):
    return read_shards(folder, ["ids"], ["label"], buffer, seed)


def test_shards_give_every_example_once_as_it_was(shards):
    examples = sorted(shuffled(shards).as_numpy_iterator(), key=lambda example: example["label"])
    assert labels_of(examples) == list(range(300))
    for example, length in zip(examples, sorted(n % 30 for n in range(300)), strict=True):
        assert example["ids"].dtype == example["label"].dtype == np.int32
        assert example["ids"].tolist() == list(range(1, length + 1))
        assert example["label"].shape == ()


def test_examples_are_spread_over_all_shards_by_the_seed(tmp_path):
    contents = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        write_shards(numbered([2] * 200), tmp_path / name, shards=4, seed=seed)
        files = sorted((tmp_path / name).iterdir())
        contents.append([path.read_bytes() for path in files])
        sizes = [sum(1 for _ in tf.data.TFRecordDataset(str(path))) for path in files]
        assert len(sizes) == 4
        assert min(sizes) > 25
    assert contents[0] == contents[1] != contents[2]


def test_dropping_an_iterator_waits_for_no_thread_that_tunes_it(shards):
    examples = shuffled(shards)
    batches = batch_by_tokens(
        examples, lambda example: tf.size(example["ids"]), BatchLimits(29, 64), fixed_shapes=False
    )
    for dataset in (examples, batches.prefetch(2)):
        assert dataset.options().autotune.enabled is False


def test_one_seed_one_order(shards):
    order = labels_of(shuffled(shards, seed=1))
    assert labels_of(shuffled(shards, seed=1)) == order
    others = [labels_of(shuffled(shards, seed=seed)) for seed in (2, 3)]
    assert order != others[0] != others[1] != order


def test_the_order_of_the_shards_is_shuffled_too(shards):
    orders = {tuple(labels_of(shuffled(shards, seed=seed, buffer=1))) for seed in range(5)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(300))}


def test_the_order_is_not_that_of_the_data(shards):
    positions = labels_of(shuffled(shards))
    assert abs(np.corrcoef(positions, np.arange(300))[0, 1]) < 0.3


def test_an_iterator_goes_on_from_its_checkpoint(shards, tmp_path):
    def batches():
        return batch_by_tokens(
            shuffled(shards), lambda example: tf.size(example["ids"]), BatchLimits(30, 90), False
        )

    def as_lists(iterator):
        return [tf.nest.map_structure(lambda tensor: tensor.numpy().tolist(), batch) for batch in iterator]

    whole = as_lists(batches())
    for done in (0, 1, 17, len(whole) - 1, len(whole)):
        iterator = iter(batches())
        for _ in range(done):
            next(iterator)
        path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / f"after-{done}"))
        assert as_lists(iterator) == whole[done:]
        again = iter(batches())
        tf.train.Checkpoint(iterator=again).read(path).assert_consumed()
        assert as_lists(again) == whole[done:]


# Batches.


def test_bucket_boundaries_grow_to_the_longest():
    for longest in (1, 7, 8, 9, 100, 401):
        boundaries = bucket_boundaries(longest)
        assert boundaries[-1] == longest
        assert all(a < b <= max(1.25 * a, a + 1) for a, b in itertools.pairwise(boundaries))
        assert boundaries[0] == min(8, longest)


def token_batches(lengths, batch_tokens, fixed_shapes, longest=40):
    examples = numbered(lengths)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples),
        output_signature={"ids": tf.TensorSpec([None], tf.int32), "label": tf.TensorSpec([1], tf.int32)},
    )
    limits = BatchLimits(longest, batch_tokens)
    batches = batch_by_tokens(dataset, lambda example: tf.size(example["ids"]), limits, fixed_shapes)
    return list(batches.as_numpy_iterator())


@pytest.fixture(scope="module")
def lengths():
    return np.random.default_rng(0).integers(0, 41, size=400).tolist()


@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize("batch_tokens", [1, 40, 200])
def test_batches_hold_every_example_once_within_the_tokens(lengths, batch_tokens, fixed_shapes):
    batches = token_batches(lengths, batch_tokens, fixed_shapes)
    seen = Counter()
    for batch in batches:
        assert batch["ids"].size <= batch_tokens or len(batch["ids"]) == 1
        for ids, label in zip(batch["ids"], batch["label"][:, 0], strict=True):
            seen[int(label)] += 1
            length = lengths[label]
            assert ids[:length].tolist() == list(range(1, length + 1))
            assert not ids[length:].any()
    assert seen == Counter(range(len(lengths)))
    buckets = np.bincount([bucket(length) for length in lengths]).tolist()
    assert count_batches(buckets, BatchLimits(40, batch_tokens)) == len(batches)
    limits = BatchLimits(35, batch_tokens)
    cut = np.bincount([bucket(min(length, 35)) for length in lengths]).tolist()
    assert count_batches(cut, limits) == len(
        token_batches(np.minimum(lengths, 35), batch_tokens, fixed_shapes, longest=35)
    )


def test_batches_are_full_and_hardly_padded(lengths):
    batches = token_batches(lengths, 200, False)
    # A bucket's last batch may be of any size.
    full = [batch for batch in batches if batch["ids"].size > 200 / 1.25 - 40]
    assert len(full) > len(batches) - 2 * len(bucket_boundaries(40))
    real = sum((batch["ids"] > 0).sum() for batch in batches)
    assert real / sum(batch["ids"].size for batch in batches) > 0.8


def test_fixed_shapes_are_few(lengths):
    boundaries = bucket_boundaries(40)
    batches = token_batches(lengths, 200, True)
    assert {batch["ids"].shape[1] for batch in batches} == set(boundaries)
    # Of each bucket, one shape for its full batches and one for its last.
    fixed = {batch["ids"].shape for batch in batches}
    assert len(fixed) <= 2 * len(boundaries)
    assert len({batch["ids"].shape for batch in token_batches(lengths, 200, False)}) > len(fixed)


@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_batches_of_empty_examples_have_a_step(fixed_shapes):
    (batch,) = token_batches([0, 0, 0], 200, fixed_shapes)
    assert len(batch["ids"]) == 3
    assert batch["ids"].shape[1] >= 1
    assert not batch["ids"].any()
    assert batch["label"].tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(("longest", "fixed_shapes"), [(1, False), (1, True), (3, True)])
def test_batches_of_short_examples(longest, fixed_shapes):
    batches = token_batches([longest] * 5, 2 * longest, fixed_shapes, longest)
    assert [batch["ids"].shape for batch in batches] == [(2, longest), (2, longest), (1, longest)]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (2, [2]), (3, [3]), (7, [3, 3, 1])])
def test_chunks_hold_all_items_in_order(count, sizes):
    cut = list(chunks(iter(range(count)), 3))
    assert [len(chunk) for chunk in cut] == sizes
    assert list(itertools.chain(*cut)) == list(range(count))


@pytest.mark.parametrize("batch_tokens", [1, 40, 333])
def test_length_sorted_batches_hold_every_position_once_within_the_tokens(lengths, batch_tokens):
    batches = list(length_sorted_batches(lengths, batch_tokens))
    positions = np.concatenate(batches)
    assert sorted(positions) == list(range(len(lengths)))
    assert np.all(np.diff(np.array(lengths)[positions]) >= 0)
    for batch in batches:
        assert len(batch) == 1 or max(1, max(lengths[p] for p in batch)) * len(batch) <= batch_tokens
    # No two neighbours would have fitted into one.
    for one, other in itertools.pairwise(batches):
        assert max(1, lengths[other[0]]) * (len(one) + 1) > batch_tokens


def test_length_sorted_batches_of_nothing_and_of_empty_texts():
    assert list(length_sorted_batches([], 100)) == []
    assert [batch.tolist() for batch in length_sorted_batches([0, 0, 0], 2)] == [[0, 1], [2]]
