"""The last layers of a pretrained network, trained with the decoder above a frozen part whose features are cached."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from .encoders import grid_of

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


def cut(
    network: keras.Model, name: str, image_size: tuple[int, int] | None = None
) -> tuple[keras.Model, keras.Model]:
    """Cuts a network behind a layer.

    Args:
        network: Has one input and one output.
        name: Name of the layer.
        image_size: Height and width of the images, for a network that takes any size.

    Returns:
        The network up to the layer's output, and the layers that follow; they share the network's weights.

    Raises:
        ValueError: If there is no such layer, it gives no feature map, no weights follow it, other layers pass
            features around it, or the network gives neither a feature map nor a vector.
    """
    network, outputs = _called(network, image_size)
    own = network.outputs[0]
    grid_of(own.shape)
    output = _map_of(outputs, name)
    try:
        after = None if output is own else keras.Model(output, own)
    except ValueError as error:
        raise ValueError(
            f"features of earlier layers, by a shortcut or as maps of their own, pass around {name}; name a layer that "
            "all paths to the end lead through, such as the end of a block"
        ) from error
    if after is None or not after.weights:
        raise ValueError(f"no weights follow the layer {name}; name an earlier one")
    return keras.Model(network.inputs[0], output), after


def with_maps(
    network: keras.Model, names: Sequence[str], image_size: tuple[int, int] | None = None
) -> keras.Model:
    """Returns a network that also gives the feature maps of other layers, beside its own at each position.

    Args:
        network: Gives a feature map, [batch, rows, columns, features].
        names: Names of the layers. Maps with more rows and columns are averaged down to the network's.
        image_size: Height and width of the images, for a network that takes any size.

    Raises:
        ValueError: If there is no such layer, it is named twice, or its map does not fit the network's.
    """
    network, outputs = _called(network, image_size)
    own = network.outputs[0]
    maps = []
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"{name} is named twice")
        found = _map_of(outputs, name)
        sizes = [*own.shape[1:3], *found.shape[1:3]]
        if None in sizes or len(own.shape) != 4 or sizes[2] % sizes[0] or sizes[3] % sizes[1]:
            raise ValueError(
                f"the map of {name}, {found.shape}, does not fit the network's own, {own.shape}; its rows and columns "
                "must be multiples of the network's"
            )
        # Other names could be those of the network's layers.
        average = keras.layers.AveragePooling2D(
            (sizes[2] // sizes[0], sizes[3] // sizes[1]), name=f"unroll_map_{number}"
        )
        maps.append(average(found))
    return keras.Model(network.inputs[0], keras.layers.Concatenate(name="unroll_maps")([*maps, own]))


def _called(
    network: keras.Model, image_size: tuple[int, int] | None
) -> tuple[keras.Model, dict[str, list[Any]]]:
    """Calls the layers of a network once more, on images of one size.

    The attribute `output` of a layer is that of its first call, which need not be one in this network: `Sequential`
    calls its layers while it grows, and a network inside another has an output of its own.

    Returns:
        A network with the same layers, and their outputs in it, by name.
    """
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ValueError(
            f"the network has {len(network.inputs)} inputs and {len(network.outputs)} outputs; one of each was expected"
        )
    (images,) = network.inputs
    known = keras.Model(images, network.outputs[0])
    name = next(layer.name for layer in known.layers if isinstance(layer, keras.layers.InputLayer))
    outputs: dict[str, list[Any]] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs.setdefault(layer.name, []).append(layer(*args, **kwargs))
        return outputs[layer.name][-1]

    sides = image_size or images.shape[1:3]
    outputs[name] = [keras.Input((*sides, images.shape[3]), name=name, dtype=images.dtype)]
    called = keras.models.clone_model(
        known, input_tensors=outputs[name][0], clone_function=lambda layer: layer, call_function=call
    )
    return called, outputs


def _map_of(outputs: dict[str, list[Any]], name: str) -> keras.KerasTensor:
    """Returns the feature map that a layer gives, [batch, rows, columns, features].

    Raises:
        ValueError: If there is no such layer, it is called several times, or it gives something else.
    """
    if name not in outputs:
        known = list(reversed(outputs))[:_NAMED]
        raise ValueError(
            f"the network has no layer {name!r}; its last ones are, from the end, {', '.join(known)}"
        )
    if len(outputs[name]) > 1:
        raise ValueError(
            f"the network calls {name} {len(outputs[name])} times; name a layer that it calls once"
        )
    (output,) = outputs[name]
    if not isinstance(output, keras.KerasTensor) or len(output.shape) != 4:
        raise ValueError(
            f"{name} gives {getattr(output, 'shape', output)}, but a feature map [batch, rows, columns, features] was "
            "expected"
        )
    return output


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
        output = network.compute_output_shape((None, *self.part.grid, self.part.features))
        self.grid, self.features = grid_of(output)
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
