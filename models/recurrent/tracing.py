"""How recurrent layers are traced: the one switch that a caller can set around them.

    with tracing(how):
        model(inputs)

`Tracing` is the default. `loop_alone` keeps cuDNN out, `portable` makes graphs that run on CPU and GPU alike, and
`taps` graphs that expose the gradients of the states. A layer, or a loop over steps, asks `current()` once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import tensorflow as tf

from . import cudnn, loop
from .cell import State
from .traced_layer import TracedLayer

_Result = TypeVar("_Result")


class Tracing:
    """The default: layers run the time loop, or cuDNN where there is a GPU and cuDNN has the layer.

    Attributes:
        truncates: Whether `truncate_gradient` has an effect.
        allows_cudnn: Whether layers may run by cuDNN.
    """

    truncates = True
    allows_cudnn = True

    def run(
        self, layer: TracedLayer, sequences: tf.Tensor, state: State, masks: loop.Masks, training: bool
    ) -> tuple[tf.Tensor, State]:
        """Runs a layer over whole sequences.

        Args:
            layer: The layer, for its cell and weights.
            sequences: [time, batch, features], reversed already if the layer goes backwards.
            state: The initial state.
            masks: Masks over steps and units, reversed as `sequences` is.
            training: Whether the layer is called in training mode.

        Returns:
            h after each step, [time, batch, units], and the state after the last step.
        """
        weights = layer.recurrent_weights(training)

        def by_loop() -> tuple[tf.Tensor, State]:
            return loop.run(layer.cell, layer.projections(sequences), state, weights, masks)

        allowed = self.allows_cudnn and layer.allows_cudnn
        if not (allowed and cudnn.has_gpu() and cudnn.suits(layer.cell, masks)):
            return by_loop()
        return cudnn.run(layer, sequences, state, weights, masks.real, True, by_loop)

    def step(self, layer: TracedLayer, kept: State, state: State, new_state: State) -> State:
        """Returns the new state of a single step of a layer.

        Args:
            layer: The layer.
            kept: The tensors that the cell keeps of the step.
            state, new_state: The states before and after the step.
        """
        del layer, kept, state
        return new_state

    def while_loop(
        self,
        layers: Sequence[TracedLayer],
        length: tf.Tensor,
        batch: tf.Tensor,
        body: Callable[..., tuple],
        variables: tuple,
    ) -> tuple:
        """Loops over t = 0 .. length - 1 and calls the layers' steps; differentiable by autodiff.

        Args:
            layers: The layers stepped in the body, each once.
            length: Number of steps.
            batch: Number of rows.
            body: (t, *variables) -> (t + 1, *variables).
            variables: t = 0 and the others.

        Returns:
            The variables at the end.
        """
        del layers, batch
        return tf.while_loop(lambda t, *_: t < length, body, variables, maximum_iterations=length)


_current: ContextVar[Tracing] = ContextVar("tracing", default=Tracing())  # noqa: B039


def current() -> Tracing:
    """Returns the way in which layers are traced now."""
    return _current.get()


def traced_once(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Returns a function of tensors that several graphs share, one trace for each way of tracing."""

    def of_tracing(how: Tracing, *args: tf.Tensor) -> _Result:
        del how
        return function(*args)

    # A function's traces are told apart by its arguments.
    traced = tf.function(of_tracing, autograph=False)
    return lambda *args: traced(current(), *args)


@contextmanager
def tracing(how: Tracing) -> Iterator[None]:
    """Traces the layers within a `with` block by `how`."""
    token = _current.set(how)
    try:
        yield
    finally:
        _current.reset(token)


class _LoopAlone(Tracing):
    """The time loop on every device."""

    allows_cudnn = False


@contextmanager
def loop_alone() -> Iterator[None]:
    """Traces layers within a `with` block by the time loop on every device, as XLA needs it: XLA has no cuDNN RNNs."""
    with tracing(_LoopAlone()):
        yield


class _WholeGradients(_LoopAlone):
    """The time loop, whose gradient no truncation cuts."""

    truncates = False


@contextmanager
def whole_gradients() -> Iterator[None]:
    """Traces layers within a `with` block by the time loop alone, on every device, and without truncation: a gradient
    through them is that of the function they compute."""
    with tracing(_WholeGradients()):
        yield
