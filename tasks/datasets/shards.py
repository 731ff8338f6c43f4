"""Training examples as shuffled TFRecord shards in the run directory.

They are written once, when a run begins, for three reasons: an epoch's order is random even if the data was sorted,
without holding the data in memory; a pipeline can be resumed in mid-epoch; and later changes to the source do not
affect the run.
"""

import math
import os
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tensorflow as tf

from .pipelines import untuned

# Many examples by name: vectors as int32 [examples, (length)], scalars as int32 [examples].
Examples = dict[str, tf.Tensor | tf.RaggedTensor]
# (examples, their numbers in the order of the data set as int64 [examples]) -> the same examples in another form.
Change = Callable[[Examples, tf.Tensor], Examples]

_PATTERN = "examples-*.tfrecord"
# Files written at the same time.
_MOST_SHARDS = 256


def shards_for(examples: int, buffer: int) -> int:
    """Returns the number of shards with which a shuffle buffer of `buffer` examples mixes all examples well."""
    return min(_MOST_SHARDS, math.ceil(examples / buffer))


def write_shards(
    examples: Iterable[Mapping[str, np.ndarray]], directory: Path, shards: int, seed: int
) -> None:
    """Writes each example to a random shard.

    Args:
        examples: Examples, each as flat integer arrays by name.
        directory: Existing directory of the shards.
        shards: Number of files.
        seed: Seed of the choice of shard.
    """
    chance = random.Random(seed)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(tf.io.TFRecordWriter(os.fspath(directory / f"examples-{n:05d}.tfrecord")))
            for n in range(shards)
        ]
        for example in examples:
            feature = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(value)))
                for name, value in example.items()
            }
            record = tf.train.Example(features=tf.train.Features(feature=feature))
            writers[chance.randrange(shards)].write(record.SerializeToString(deterministic=True))


def read_shards(
    directory: Path,
    sequences: Iterable[str],
    scalars: Iterable[str],
    buffer: int,
    seed: int,
    change: Change | None = None,
) -> tf.data.Dataset:
    """Reads the examples in an order that depends on the seed alone: shuffled shards, through a shuffle buffer.

    Args:
        directory: Directory of the shards.
        sequences: Names of the vectors in an example.
        scalars: Names of the single numbers in an example.
        buffer: Number of examples to shuffle in memory.
        seed: Seed of the order.
        change: Gives the examples another form, many at a time.

    Returns:
        A data set of dictionaries with int32 vectors and scalars. Its iterator can be checkpointed.
    """
    files = sorted(os.fspath(path) for path in directory.glob(_PATTERN))
    random.Random(seed).shuffle(files)
    specification = {name: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64) for name in sequences}
    specification |= {name: tf.io.FixedLenFeature([], tf.int64) for name in scalars}

    def parse(records: tf.Tensor) -> Examples:
        parsed = tf.io.parse_example(records, specification)
        return {name: tf.cast(values, tf.int32) for name, values in parsed.items()}

    def as_tensors(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(value) for name, value in example.items()}

    records = untuned(tf.data.TFRecordDataset(files)).shuffle(
        buffer, seed=seed, reshuffle_each_iteration=False
    )
    if change is None:
        return records.batch(256).map(parse, num_parallel_calls=2).unbatch().map(as_tensors)
    numbered = records.enumerate().batch(256)
    changed = numbered.map(lambda numbers, records: change(parse(records), numbers), num_parallel_calls=2)
    return changed.unbatch().map(as_tensors)
