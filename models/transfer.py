"""Gives a model the weights of another."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from ..common.errors import UserError

Pairs = Iterator[tuple[keras.Variable, keras.Variable]]


def transfer_all(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights of a model into another one of the same class, options and sizes.

    Raises:
        UserError: If the weights do not fit.
    """
    _copy(_zip(source.weights, target.weights))


def transfer_layers(source: keras.Model, target: keras.Model, tokens: np.ndarray) -> None:
    """Copies the embeddings and the recurrent layers of a language model into another model.

    The layers of a backward direction come from the backward stack, and keep their own weights without one. A token
    that the language model does not know gets the mean of its embeddings (Howard and Ruder, 2018,
    https://arxiv.org/abs/1801.06146).

    Args:
        source: Language model with embeddings, all its weights made.
        target: Model with the layers `embedding` and `recurrent`, all its weights made.
        tokens: int [ids], for each id of the target that of the source, or -1.

    Raises:
        UserError: If the weights do not fit.
    """
    _copy(_layers(source, target))
    embeddings = np.array(source.embedding.embeddings)
    rows = np.concatenate([embeddings, embeddings.mean(axis=0, keepdims=True)])
    target.embedding.embeddings.assign(rows[tokens])


def _copy(pairs: Pairs) -> None:
    listed = [*pairs]
    for taken, given in listed:
        if taken.shape != given.shape:
            raise UserError(
                f"The weights {given.path} have the shape {list(given.shape)}, but {list(taken.shape)} in the run to "
                "start from; give the same sizes of layers, and with --bidirectional --layers=1."
            )
    for taken, given in listed:
        given.assign(taken)


def _layers(source: keras.Model, target: keras.Model) -> Pairs:
    """Yields the weights of the recurrent layers to copy, each with its place."""
    backward = source.backward.layers if source.backward else [None] * len(source.recurrent.layers)
    for forward, reverse, layer in zip(
        source.recurrent.layers, backward, target.recurrent.layers, strict=True
    ):
        both = isinstance(layer, keras.layers.Bidirectional)
        yield from _zip(forward.weights, (layer.forward_layer if both else layer).weights)
        if both and reverse is not None:
            yield from _zip(reverse.weights, layer.backward_layer.weights)


def _zip(source: Sequence[keras.Variable], target: Sequence[keras.Variable]) -> Pairs:
    if len(source) != len(target):
        raise UserError(
            f"The model has {len(target)} weights where the run to start from has {len(source)}; give the same options "
            "of the model."
        )
    yield from zip(source, target, strict=True)
