"""The last layers of a pretrained network, trained with the decoder above a frozen part whose features are cached."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.errors import first_line

# Layers named in a message.
_NAMED = 50


class TrainedPart(NamedTuple):
    """What a model needs to make the trained layers, as JSON can hold it.

    Attributes:
        network: The layers, in the form of `keras.Model.to_json`: from the frozen part's feature map to the network's.
        grid: Rows and columns of the frozen part's feature map.
        features: Features of a position of that map.
    """

    network: str
    grid: tuple[int, int]
    features: int


def cut(network: keras.Model, name: str) -> tuple[keras.Model, keras.Model]:
    """Cuts a network behind a layer.

    Args:
        network: Has one input and one output.
        name: Name of the layer.

    Returns:
        The network up to the layer's output, and the layers that follow; they share the network's weights.

    Raises:
        ValueError: If there is no such layer, it gives no feature map, no weights follow it, or other layers pass
            features around it.
    """
    output = layer_output(network, name)
    try:
        after = keras.Model(output, network.outputs[0])
    except ValueError as error:
        raise ValueError(
            f"its layer {name} is no place to cut it, since other layers pass features around it"
        ) from error
    if not after.weights:
        raise ValueError(f"no weights follow its layer {name}")
    return keras.Model(network.inputs[0], output), after


def layer_output(network: keras.Model, name: str) -> keras.KerasTensor:
    """Returns the feature map that a layer of a network gives, [batch, rows, columns, features].

    Raises:
        ValueError: If there is no such layer, or it gives something else.
    """
    layers = {layer.name: layer for layer in network.layers}
    if name not in layers:
        known = list(reversed(layers))[:_NAMED]
        raise ValueError(f"it has no layer {name}; its last ones are, from the end, {', '.join(known)}")
    try:
        output = layers[name].output
    except (AttributeError, ValueError) as error:
        raise ValueError(f"the output of its layer {name} cannot be read ({first_line(error)})") from error
    if not isinstance(output, keras.KerasTensor) or len(output.shape) != 4:
        raise ValueError(
            f"its layer {name} gives {getattr(output, 'shape', output)}, but a feature map "
            "[batch, rows, columns, features] was expected"
        )
    return output


def with_maps(network: keras.Model, names: Sequence[str]) -> keras.Model:
    """Returns a network that also gives the feature maps of other layers, beside its own at each position.

    Args:
        network: Gives a feature map, [batch, rows, columns, features].
        names: Names of the layers. Maps with more rows and columns are averaged down to the network's.

    Raises:
        ValueError: If there is no such layer, or its map does not fit the network's.
    """
    own = network.outputs[0]
    maps = []
    for name in names:
        found = layer_output(network, name)
        sizes = [*own.shape[1:3], *found.shape[1:3]]
        if None in sizes or len(own.shape) != 4 or sizes[2] % sizes[0] or sizes[3] % sizes[1]:
            raise ValueError(f"the map of its layer {name}, {found.shape}, does not fit its own, {own.shape}")
        maps.append(keras.layers.AveragePooling2D((sizes[2] // sizes[0], sizes[3] // sizes[1]))(found))
    return keras.Model(network.inputs[0], keras.layers.Concatenate()([*maps, own]))


@keras.saving.register_keras_serializable("unroll")
class TrainedLayers(keras.layers.Layer):
    """Layers of a pretrained network: [batch, rows, columns, features] -> [batch, positions, features].

    The weights of the decoder start at random, those of the network do not, and want smaller steps. Since an adaptive
    optimiser moves all variables at the same pace, a variable is the weight divided by `rate`. Batch normalisation uses
    the statistics of the pretraining, and dropout within the network is off. All arithmetic is float32.

    Args:
        part: The layers and the shape of their input.
        rate: Learning rate of the weights, as a share of the optimiser's.

    Call arguments:
        maps: float [batch, rows, columns, features], of the frozen part.

    Returns:
        float32 [batch, positions, features], of the network.
    """

    def __init__(self, part: TrainedPart, rate: float, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.part, self.rate = TrainedPart(*part), rate
        network: Any = keras.models.model_from_json(self.part.network)
        _unfreeze(network)
        _, rows, columns, self.features = network.compute_output_shape(
            (None, *self.part.grid, self.part.features)
        )
        self.grid = (rows, columns)
        # In a closure: Keras would track an attribute, and train its variables, too.
        self._network = lambda: network

    def build(self, maps_shape: tuple | None = None) -> None:
        del maps_shape
        network = self._network()
        self.scaled = [self._variable(v, trainable=True) for v in network.trainable_variables]
        self.fixed = [self._variable(v, trainable=False) for v in network.non_trainable_variables]

    def start(self, network: keras.Model) -> None:
        """Takes the weights of a network with the same layers."""
        _unfreeze(network)
        for variable, weight in zip(self.scaled, network.trainable_variables, strict=True):
            variable.assign(np.asarray(weight) / self.rate)
        for variable, weight in zip(self.fixed, network.non_trainable_variables, strict=True):
            variable.assign(weight)

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        weights = [variable * self.rate for variable in self.scaled]
        maps = tf.ensure_shape(tf.cast(maps, tf.float32), [None, *self.part.grid, self.part.features])
        found, _ = self._network().stateless_call(weights, self.fixed, maps, training=False)
        return tf.reshape(found, [-1, self.grid[0] * self.grid[1], self.features])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"part": self.part, "rate": self.rate}

    def _variable(self, like: Any, trainable: bool) -> keras.Variable:
        name = like.path.replace("/", "_")
        return self.add_weight(
            name=name, shape=like.shape, dtype=like.dtype, initializer="zeros", trainable=trainable
        )


def _unfreeze(network: keras.Model) -> None:
    """Makes the weights of all layers trainable, whatever the file of the network says."""
    # Keras passes over an assignment that changes nothing, although layers inside may differ.
    network.trainable = False
    network.trainable = True
