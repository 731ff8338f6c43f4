"""Graphs of functions that take a model, which live as long as the model."""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import keras
import tensorflow as tf

_Model = TypeVar("_Model", bound=keras.Model)
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def traced_per_model(
    function: Callable[Concatenate[_Model, _Parameters], _Result],
) -> Callable[Concatenate[_Model, _Parameters], _Result]:
    """Traces a function once per model, its first argument.

    The graph serves batches of all sizes: ids and strings may have any sizes, and other tensors any number of rows. A
    `tf.function` of the module would keep the graphs of all models for ever.
    """

    @functools.wraps(function)
    def call(model: _Model, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        # Past Keras' attributes, which it would track and save.
        traced: dict[Callable[..., Any], Any] = model.__dict__.setdefault("_traced_functions", {})
        if function not in traced:
            traced[function] = tf.function(functools.partial(function, model), autograph=False)
            # Here, since the second batch would be of another size, and trace the function again.
            specs, named = tf.nest.map_structure(_any_sizes, (args, kwargs))
            traced[function].get_concrete_function(*specs, **named)
        return traced[function](*args, **kwargs)

    return call


def _any_sizes(argument: Any) -> Any:
    if not isinstance(argument, tf.Tensor) or not argument.shape.rank:
        return argument
    free = argument.shape.rank if argument.dtype in (tf.int32, tf.int64, tf.string) else 1
    return tf.TensorSpec([None] * free + argument.shape[free:].as_list(), argument.dtype)
