"""What all pipelines of training examples have in common."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set whose iterators, and those of data sets that are made from it, are not tuned as they run.

    The pipelines here have nothing to tune. Above all, the thread that tunes an iterator sleeps ever longer, up to a
    minute, and whoever drops the iterator, as every epoch does, waits until it wakes.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
