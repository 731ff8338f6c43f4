"""Answers of exported models as columns of Spark."""

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from unroll.serving.loader import load
from unroll.serving.spark import _COLUMNS, _predicting, predictor
from unroll.serving.versions import newest_version

TEXTS = [f"The film of number {n} was {word}." for n in range(8) for word in ("wonderful", "awful")]


def columns_of(model, rows, **options):
    application = load(model).application
    predict = _predicting(str(newest_version(model)), _COLUMNS[application], options)
    return predict(np.array([*rows, None], object)[:-1])


@pytest.mark.parametrize("name", ["exported_model", "exported_translation", "exported_language_model"])
def test_columns_have_the_answers_and_rows_that_cannot_be_used_an_error(name, request):
    model = request.getfixturevalue(name)
    columns = columns_of(model, ["A good film.", None, float("nan"), 3, ""])
    assert columns["error"].tolist() == [
        "",
        "The row is null.",
        "The row is null.",
        "The row is int, not a text.",
        "",
    ]
    expected = load(model).answer(["A good film.", ""])
    for column in _COLUMNS[load(model).application]:
        found = columns[column][[0, 4]].tolist()
        assert found == [getattr(result, column) for result in expected]
    assert np.isnan(columns["score"][1:4]).all()
    assert columns["truncated"].dtype == np.int8


def test_images_are_paths_or_bytes(exported_captioning, captioning_run):
    folder = captioning_run.with_name("captioning_data")
    image = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".jpg"))
    columns = columns_of(exported_captioning, [str(image), image.read_bytes(), "missing.png", b"no image"])
    assert columns["error"][:2].tolist() == ["", ""]
    assert columns["text"][0] == columns["text"][1] != ""
    assert "cannot be read" in columns["error"][2]
    assert columns["error"][3]
    assert columns["text"][2:].tolist() == ["", ""]


@pytest.fixture(scope="module")
def spark():
    """A session with two executors, in processes of their own."""
    sql = pytest.importorskip("pyspark.sql", reason="needs `pip install 'unroll[spark]'`")
    if not shutil.which("java"):
        pytest.skip("needs Java")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(Path(sql.__file__).parents[1]))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = (
            sql.SparkSession.builder.master("local-cluster[2,1,1024]")
            .config("spark.ui.enabled", "false")
            .config("spark.executorEnv.PYTHONPATH", os.environ.get("PYTHONPATH", ""))
            .config("spark.log.level", "OFF")
            .getOrCreate()
        )
        yield session
        session.stop()


def executors(session):
    """The processes of the executors of a session."""
    name, found = session.sparkContext.applicationId, []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            # It has ended.
            continue
        if "CoarseGrainedExecutorBackend" in command and name in command:
            found.append(int(process.name))
    return found


def test_every_row_is_answered_once_though_an_executor_is_killed(spark, exported_model):
    rows = [*enumerate(TEXTS), (len(TEXTS), None)]
    texts = spark.createDataFrame(rows, "id int, text string").repartition(4, "id")
    answers = texts.select("id", predictor(exported_model)("text").alias("answer")).select("id", "answer.*")
    assert answers.dtypes == [
        ("id", "int"),
        ("label", "string"),
        ("score", "float"),
        ("known_tokens", "int"),
        ("truncated", "boolean"),
        ("error", "string"),
    ]
    # A partition at a time.
    found = answers.toLocalIterator()
    first = next(found)
    running = executors(spark)
    assert len(running) == 2
    os.kill(running[0], signal.SIGKILL)
    told = sorted([first, *found], key=lambda row: row.id)
    assert [row.id for row in told] == [number for number, _ in rows]
    expected = load(exported_model).classify(TEXTS)
    assert [row.label for row in told[:-1]] == [result.label for result in expected]
    np.testing.assert_allclose([row.score for row in told[:-1]], [result.score for result in expected], 1e-5)
    assert (told[-1].score, told[-1].error) == (None, "The row is null.")
