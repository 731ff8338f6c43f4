"""Graphs with custom gradients are freed, and their gradients work as long as they live."""

import contextlib
import gc
import io
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import tiny_options

from unroll.models.recurrent import GRU, LSTM, SimpleRNN
from unroll.tasks import cli

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")


def gradient_function(layer):
    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, layer.trainable_variables)

    return gradients


@pytest.mark.parametrize("kind", [LSTM, GRU, SimpleRNN])
def test_a_graph_is_freed_and_a_later_one_has_the_same_gradients(kind):
    layer = kind(4)
    layer.build(X.shape)
    found = []
    for _ in range(2):
        function = gradient_function(layer)
        found.append(function(X))
        graph = weakref.ref(function.get_concrete_function(X).graph)
        del function
        gc.collect()
        assert graph() is None
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.any(one)


def test_gradients_of_a_graph_that_was_traced_before_are_still_there():
    layer = LSTM(4, return_sequences=True)
    forward = tf.function(lambda x: layer(x))
    x = tf.constant(X)
    before = forward(x)
    gc.collect()
    # The backward pass is traced only now.
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(forward(x))
    assert np.any(tape.gradient(loss, x))
    np.testing.assert_array_equal(forward(x), before)


def test_trainings_leave_no_graph_behind(tmp_path):
    flags = [f"--{name}={value}" for name, value in (tiny_options(tmp_path) | {"epochs": 1}).items()]

    def graphs():
        gc.collect()
        return sum(type(x).__name__ == "FuncGraph" and x.name == "_whole_step" for x in gc.get_objects())

    before = graphs()
    for number in range(2):
        with contextlib.redirect_stdout(io.StringIO()):
            assert cli.main(["train", "sentiment", f"--workdir={tmp_path / str(number)}", *flags]) == 0
    assert graphs() <= before
