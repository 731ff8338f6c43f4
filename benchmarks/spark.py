"""Prediction on Spark with two executors against one process with two threads, in one run.

    python benchmarks/spark.py --model=exports/NAME [--rows=20000]

Needs `pip install 'unroll[spark]'` and Java. Each executor is a process with one core. Both sides answer all rows
before the clock starts, so that sessions, models and graphs are there; then they answer them again in turns.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pyspark.sql
from absl import app, flags

from unroll.serving.loader import load
from unroll.serving.spark import predictor

_MODEL = flags.DEFINE_string(
    "model", None, "directory of an exported sentiment or translation model", required=True
)
_TEXT = flags.DEFINE_string(
    "text", "Last week the tired sister did not throw away the old newspapers.", "the beginning of each row"
)
_ROWS = flags.DEFINE_integer("rows", 20_000, "rows to answer")
_BATCH = flags.DEFINE_integer("batch_size", 64, "rows in a call of the graph")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds, of which the fastest counts")


def new_session() -> pyspark.sql.SparkSession:
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    return (
        pyspark.sql.SparkSession.builder.master("local-cluster[2,1,2048]")
        .config("spark.ui.enabled", "false")
        .config("spark.executorEnv.PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )


def seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def main(_):
    texts = [f"{_TEXT.value} {number}" for number in range(_ROWS.value)]
    spark = new_session()
    # Of this process; those of the executors set theirs.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2"}
    model, batch = load(_MODEL.value), _BATCH.value
    rows = spark.createDataFrame([(text,) for text in texts], "text string").repartition(8).cache()
    answers = rows.select(predictor(_MODEL.value, batch)("text").alias("answer")).select("answer.*")
    sides = {
        "one process with two threads": lambda: model.answer(texts, batch_size=batch),
        "Spark with two executors": lambda: answers.write.format("noop").mode("overwrite").save(),
    }
    taken = {name: [seconds(work)] for name, work in sides.items()}
    for _ in range(_ROUNDS.value):
        for name, work in sides.items():
            taken[name].append(seconds(work))
    for name, (first, *later) in taken.items():
        print(
            f"{name}: {len(texts) / min(later):,.0f} rows a second; {first:.1f} s for the first {len(texts):,}"
        )
    one, two = (min(later) for _, *later in taken.values())
    print(f"ratio {one / two:.2f}")
    spark.stop()


if __name__ == "__main__":
    app.run(main)
