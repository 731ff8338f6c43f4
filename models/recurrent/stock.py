"""Converts models with Keras' recurrent layers to models with ours."""

import keras

from .gru import GRU
from .lstm import LSTM
from .simple_rnn import SimpleRNN

_OURS = {keras.layers.LSTM: LSTM, keras.layers.GRU: GRU, keras.layers.SimpleRNN: SimpleRNN}


def converted(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with our recurrent layers in place of Keras'.

    Args:
        model: Sequential or functional model with weights; recurrent layers may be inside `Bidirectional`,
            `TimeDistributed` and nested models.

    Returns:
        A model with the same weights and outputs, not compiled.
    """
    copy = keras.models.clone_model(model, clone_function=_converted_layer, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _converted_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    config = layer.get_config()
    if type(layer) in _OURS:
        return _OURS[type(layer)].from_config(config)
    if isinstance(layer, keras.layers.Bidirectional):
        forward, backward = map(_converted_layer, (layer.forward_layer, layer.backward_layer))
        return keras.layers.Bidirectional(
            forward,
            merge_mode=layer.merge_mode,
            backward_layer=backward,
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    if isinstance(layer, keras.layers.TimeDistributed):
        inner = _converted_layer(layer.layer)
        return keras.layers.TimeDistributed(inner, name=layer.name, dtype=layer.dtype_policy)
    return type(layer).from_config(config)
