"""The closed set of activations whose derivatives the hand-written backward pass knows.

Each derivative is a function of the activation's *output* y = f(x), so the loop need not keep x.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf


class Activation(NamedTuple):
    """An element-wise function and its derivative as a function of its own output."""

    name: str
    function: Callable[[tf.Tensor], tf.Tensor]
    derivative: Callable[[tf.Tensor], tf.Tensor]


def _positive(y: tf.Tensor) -> tf.Tensor:
    return tf.cast(y > 0, y.dtype)


_ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("linear", tf.identity, tf.ones_like),
        Activation("tanh", tf.tanh, lambda y: 1 - y * y),
        Activation("sigmoid", tf.sigmoid, lambda y: y * (1 - y)),
        Activation("relu", tf.nn.relu, _positive),
        Activation(
            "hard_sigmoid",
            keras.activations.hard_sigmoid,
            lambda y: tf.cast((y > 0) & (y < 1), y.dtype) / 6,
        ),
        Activation("softsign", tf.nn.softsign, lambda y: tf.square(1 - tf.abs(y))),
        Activation("softplus", tf.nn.softplus, lambda y: 1 - tf.exp(-y)),
        Activation("elu", tf.nn.elu, lambda y: tf.where(y > 0, tf.ones_like(y), y + 1)),
    )
}


def get(identifier: str | Callable | None) -> Activation:
    """Returns an activation by name.

    Args:
        identifier: One of linear, tanh, sigmoid, relu, hard_sigmoid, softsign, softplus, elu; the Keras function of one
            of these names; or None for linear, as in Keras.

    Raises:
        ValueError: If the backward pass has no derivative for the activation.
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
