"""Constructors that also accept their keywords by position, in the order of Keras' layers."""

import functools
from collections.abc import Callable
from typing import Any

# Runs of arguments that all of Keras' recurrent layers have in this order.
INITIALIZERS = ("use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer")
PENALTIES = (
    *("kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "activity_regularizer"),
    *("kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout"),
)
SEQUENCES = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")


def positional(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a keyword-only constructor so that it also accepts its keywords by position.

    Args:
        names: Keywords in the order of their positions.
    """

    def decorate(constructor: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(constructor)
        def wrapper(self: Any, *values: Any, **keywords: Any) -> None:
            if len(values) > len(names):
                raise TypeError(
                    f"{type(self).__name__} takes {len(names)} positional arguments, not {len(values)}."
                )
            given = dict(zip(names, values, strict=False))
            twice = given.keys() & keywords.keys()
            if twice:
                raise TypeError(
                    f"{type(self).__name__} got {', '.join(sorted(twice))} by position and by name."
                )
            constructor(self, **given, **keywords)

        # Keras inspects the signature: let it see the wrapper's.
        del wrapper.__wrapped__
        return wrapper

    return decorate
