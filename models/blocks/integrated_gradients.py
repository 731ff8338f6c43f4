"""Integrated gradients (Sundararajan et al., 2017, Axiomatic attribution for deep networks)."""

from collections.abc import Callable

import tensorflow as tf


def integrated_gradients(
    function: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    inputs: tf.Tensor,
    baseline: tf.Tensor,
    points: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns how much each step of a sequence adds to a function's value, compared with a baseline.

    That is the gradient of the function with respect to the inputs, averaged over the straight path from the baseline
    to the inputs, times the difference of the two. Over all steps the result sums to function(inputs) -
    function(baseline), up to the error of the trapezoidal rule.

    Args:
        function: [points, time, features] -> its values [points], and another tensor; the first point is the baseline,
            the last one the inputs.
        inputs: [time, features].
        baseline: [time, features], or a shape that can be broadcast to it.
        points: Number of points of the path, at least 2.

    Returns:
        float32 [time], and the other tensor.
    """
    inputs, baseline = tf.cast(inputs, tf.float32), tf.cast(baseline, tf.float32)
    difference = inputs - baseline
    path = baseline + tf.linspace(0.0, 1.0, points)[:, None, None] * difference
    with tf.GradientTape() as tape:
        tape.watch(path)
        values, other = function(path)
    # Trapezoidal rule: the ends of the path count half.
    weights = tf.concat([[0.5], tf.ones([points - 2]), [0.5]], axis=0) / (points - 1)
    gradient = tape.gradient(values, path, output_gradients=tf.cast(weights, values.dtype))
    return tf.reduce_sum(tf.reduce_sum(gradient, axis=0) * difference, axis=1), other
