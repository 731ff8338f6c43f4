"""Helpers for tests of layers and models: random weights, and comparison of nested tensors."""

import keras
import numpy as np
import tensorflow as tf


def randomize(layer: keras.layers.Layer, rng: np.random.Generator, scale: float = 0.7) -> None:
    """Gives a layer weights far from their small start, the biases included, so that every input matters."""
    layer.set_weights([rng.normal(size=w.shape, scale=scale) for w in layer.get_weights()])


def assert_same(ours, theirs, tolerance=1e-5):
    """Two nests of the same structure with the same numbers."""
    tf.nest.assert_same_structure(ours, theirs)
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=False)


def gradients_of(function, sources, weights=()):
    """Returns the results of a function, and the gradient of a loss that weighs each of their elements differently.

    Args:
        function: without arguments, returns a nest of tensors.
        sources: a nest of tensors, by which to differentiate.
        weights: Keras variables, the same.

    Returns:
        The results, and the gradients by the sources and the weights, zeros where they do not depend on each other.
    """
    by = [*tf.nest.flatten(sources), *(weight.value for weight in weights)]
    with tf.GradientTape() as tape:
        tape.watch(tf.nest.flatten(sources))
        results = function()
        loss = tf.add_n(
            [
                tf.reduce_sum(r * tf.sin(tf.reshape(tf.range(tf.size(r), dtype=r.dtype), tf.shape(r))))
                for r in tf.nest.flatten(results)
            ]
        )
    gradients = tape.gradient(loss, by, unconnected_gradients="zero")
    return results, [tf.convert_to_tensor(gradient) for gradient in gradients]
