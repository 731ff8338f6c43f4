"""The closed set of activations whose gradients the hand-written backward pass knows.

Each gradient is a function of the activation's *output* y = f(x), so the loop need not keep x.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf


class Activation(NamedTuple):
    """An element-wise function, and dL/dx from its output y and dL/dy, tensors of one shape."""

    name: str
    function: Callable[[tf.Tensor], tf.Tensor]
    gradient: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


# Where TensorFlow has an operation for the gradient, it makes one pass over the numbers instead of three.
_ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("linear", tf.identity, lambda y, dy: dy),
        Activation("tanh", tf.tanh, lambda y, dy: tf.raw_ops.TanhGrad(y=y, dy=dy)),
        Activation("sigmoid", tf.sigmoid, lambda y, dy: tf.raw_ops.SigmoidGrad(y=y, dy=dy)),
        Activation("relu", tf.nn.relu, lambda y, dy: tf.raw_ops.ReluGrad(gradients=dy, features=y)),
        Activation(
            "hard_sigmoid",
            keras.activations.hard_sigmoid,
            lambda y, dy: tf.where((y > 0) & (y < 1), dy / 6, tf.zeros_like(dy)),
        ),
        Activation("softsign", tf.nn.softsign, lambda y, dy: dy * tf.square(1 - tf.abs(y))),
        Activation("softplus", tf.nn.softplus, lambda y, dy: dy * (1 - tf.exp(-y))),
        Activation("elu", tf.nn.elu, lambda y, dy: tf.where(y > 0, dy, dy * (y + 1))),
    )
}


def get(identifier: str | Callable | None) -> Activation:
    """Returns an activation by name.

    Args:
        identifier: One of linear, tanh, sigmoid, relu, hard_sigmoid, softsign, softplus, elu; the Keras function of one
            of these names; or None for linear, as in Keras.

    Raises:
        ValueError: If the backward pass has no gradient for the activation.
    """
    name = "linear" if identifier is None else identifier
    if callable(identifier):
        # Compare functions, not names: a user's function may share its name with another.
        known = {keras.activations.get(known): known for known in _ACTIVATIONS}
        name = known.get(identifier)
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(
            f"Activation {identifier!r} is not known to the recurrent layers; use one of {', '.join(_ACTIVATIONS)}."
        )
    return _ACTIVATIONS[name]
