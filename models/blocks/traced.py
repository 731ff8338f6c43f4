"""Graphs of functions that take a model, which live as long as the model."""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import keras
import tensorflow as tf

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def traced_per_model(
    function: Callable[Concatenate[keras.Model, _Parameters], _Result],
) -> Callable[Concatenate[keras.Model, _Parameters], _Result]:
    """Traces a function once per model, its first argument.

    A `tf.function` of the module would keep the graphs of all models for ever.
    """

    @functools.wraps(function)
    def call(model: keras.Model, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        # Past Keras' attributes, which it would track and save.
        traced: dict[Callable[..., Any], Any] = model.__dict__.setdefault("_traced_functions", {})
        if function not in traced:
            bound = functools.partial(function, model)
            traced[function] = tf.function(bound, reduce_retracing=True, autograph=False)
        return traced[function](*args, **kwargs)

    return call
