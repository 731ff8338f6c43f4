"""Answers of an exported model as a column of a Spark data frame."""

import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ..common.errors import UserError
from .applications import class_of
from .loader import load
from .model import Model, checked_batch_size
from .versions import describe, newest_version

# Columns of the answers of each application: fields of its result, with their types in Spark.
_COLUMNS = {
    "sentiment": {"label": "string", "score": "float", "known_tokens": "integer", "truncated": "boolean"},
    "captioning": {"text": "string", "score": "float", "truncated": "boolean"},
    "translation": {"text": "string", "score": "float", "truncated": "boolean"},
    "language_modeling": {"text": "string", "score": "float", "truncated": "boolean"},
}
_DTYPES = {"string": object, "float": np.float32, "integer": np.int32, "boolean": np.int8}
# The answer to a row that cannot be used.
_NOTHING = {"string": "", "float": np.nan, "integer": 0, "boolean": False}


def predictor(model: str | os.PathLike[str], batch_size: int = 64, **options: Any) -> Callable[[Any], Any]:
    """Returns a function from a column to a column of structs, by `pyspark.ml.functions.predict_batch_udf`.

    Each Python worker of Spark loads the model once, from a path that all executors see, and uses as many threads as
    `spark.task.cpus`. The columns of a struct are those of the application's result, such as `text`, `score` and
    `truncated`, and `error`: why a row has no answer, or "".

    Args:
        model: A model's directory, whose newest version is used by all, or a version directory.
        batch_size: Rows in a call of the graph.
        options: Those of the application's method, such as `max_length` and `seed` of a language model.

    Returns:
        A function of one column, or of its name: texts, or for captioning paths of images or their bytes. A row that
        cannot be used has no score, but an error.

    Raises:
        UserError: If the path holds no exported model, an argument is wrong, or Spark is not installed.
    """
    try:
        # Not of the usual installation.
        predict_batch_udf = import_module("pyspark.ml.functions").predict_batch_udf
        new_struct = import_module("pyspark.sql.types").StructType
    except ImportError as error:
        raise UserError(f"Spark cannot be used ({error}); pip install 'unroll[spark]'.") from error
    checked_batch_size(batch_size)
    version = os.fspath(newest_version(model).absolute())
    application = describe(newest_version(model))["application"]
    class_of(application, model)
    columns = _COLUMNS[application]
    returned, told = new_struct(), new_struct()
    for name, kind in (columns | {"error": "string"}).items():
        # Of scalars, `predict_batch_udf` takes all but truth values.
        returned.add(name, "byte" if kind == "boolean" else kind)
        told.add(name, kind)
    answer = predict_batch_udf(
        lambda: _predicting(version, columns, {"batch_size": batch_size} | options),
        return_type=returned,
        batch_size=batch_size,
    )

    def answered(column: Any) -> Any:
        return answer(column).cast(told)

    return answered


def _predicting(
    version: str, columns: dict[str, str], options: dict[str, Any]
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function from rows to their answers by column; called in Spark's Python workers."""
    loaded = _loaded(version)
    kinds = (str, bytes) if loaded.application == "captioning" else str

    def predict(rows: np.ndarray) -> dict[str, np.ndarray]:
        usable = [number for number, row in enumerate(rows) if isinstance(row, kinds)]
        answers = dict(zip(usable, loaded.answer([rows[n] for n in usable], **options), strict=True))
        errors = [
            getattr(answers[number], "error", "") if number in answers else _error(row)
            for number, row in enumerate(rows)
        ]
        found = {"error": np.array(errors, object)}
        for name, kind in columns.items():
            values = [
                _NOTHING[kind] if errors[number] else getattr(answers[number], name)
                for number in range(len(rows))
            ]
            found[name] = np.array(values, _DTYPES[kind])
        return found

    return predict


@cache
def _loaded(version: str) -> Model:
    """Returns the model of a directory, one for all tasks of this process."""
    # Spark gives each task so many cores, in a variable for libraries of numbers, and TensorFlow takes all.
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(pool, threads)
    return load(version)


def _error(row: Any) -> str:
    """Returns why a row is no input."""
    if row is None or row != row:
        return "The row is null."
    return f"The row is {type(row).__name__}, not a text."
