"""Encodes pixels as a grid of feature vectors, by a pretrained network or by a small one trained with the decoder."""

import hashlib
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...common.errors import first_line

# Height and width for a network that takes images of any size, unless given.
_USUAL_SIZE = 224


class FrozenEncoder(tf.Module):
    """A frozen, pretrained network: uint8 [batch, height, width, 3] -> float32 [batch, positions, features].

    It holds its weights as TensorFlow's own variables, so that a SavedModel has them once.

    Args:
        network: Takes RGB, 0 to 255, [batch, height, width, 3], and gives a map [batch, rows, columns, features]
            or a vector [batch, features], which is a grid of one position.
        image_size: Height and width, for a network that takes any size.

    Attributes:
        image_size: Height and width of the images.
        grid: Rows and columns of the grid.
        features: Number of features of a position.

    Raises:
        ValueError: If the network has another input or output.
    """

    def __init__(self, network: keras.Model, image_size: int | None = None) -> None:
        super().__init__()
        network.trainable = False
        self.image_size = size_of_images(network, image_size)
        self.grid, self.features = grid_of(network.compute_output_shape((None, *self.image_size, 3)))
        self._variables = [variable.value for variable in network.variables]
        # Without the states of random numbers, which depend on the seed of the run.
        self._weights = [variable.value for variable in network.weights]
        # In closures: TensorFlow would track an attribute, and save its variables a second time.
        self._network = lambda pixels: network(pixels, training=False)
        self._layers = lambda: _layers_of(network)

    def __call__(self, pixels: tf.Tensor) -> tf.Tensor:
        found = self._network(tf.cast(pixels, tf.float32))
        positions = self.grid[0] * self.grid[1]
        return tf.reshape(tf.cast(found, tf.float32), [-1, positions, self.features])

    @property
    def fingerprint(self) -> str:
        """A hash of the layers, weights and shapes, which identifies the encoder of cached features."""
        shapes = (self.image_size, self.grid, self.features)
        digest = hashlib.blake2b(repr((self._layers(), shapes)).encode(), digest_size=8)
        for variable in self._weights:
            digest.update(repr(variable.shape).encode() + np.ascontiguousarray(variable.numpy()).tobytes())
        return digest.hexdigest()


def grid_of(output: Any) -> tuple[tuple[int, int], int]:
    """Returns the grid, rows and columns, and the features of a position of what a network gives.

    Args:
        output: Shape of a map [batch, rows, columns, features], or of a vector [batch, features]: one position.

    Raises:
        ValueError: If it is something else.
    """
    if isinstance(output, Mapping | list) or len(output) not in (2, 4) or None in output[1:]:
        raise ValueError(
            f"it gives {output}, but a feature map [batch, rows, columns, features] or a vector [batch, features] "
            "was expected"
        )
    return tuple(output[1:-1]) or (1, 1), output[-1]


def load_network(path: str | os.PathLike[str]) -> keras.Model:
    """Loads the network in a `.keras` file.

    Raises:
        ValueError: If the file cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError("there is no such file")
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a file that Keras wrote")
    try:
        network: Any = keras.saving.load_model(path, compile=False)
    # A damaged file can raise anything.
    except Exception as error:
        raise ValueError(f"it cannot be read ({first_line(error)})") from error
    return network


def application(name: str, image_size: int | None, weights: str | None) -> keras.Model:
    """Builds a network of `keras.applications` without its classifier, after the input scaling it was trained with.

    Args:
        name: Name of the network, such as MobileNetV2.
        image_size: Height and width; 224 if None.
        weights: File with its weights, without those of the classifier; None downloads those of ImageNet.

    Raises:
        ValueError: If the network does not exist, or its weights cannot be loaded.
    """
    if name not in applications():
        raise ValueError(f"keras.applications has {', '.join(applications())}")
    if weights and not Path(weights).is_file():
        raise ValueError(f"there is no file {weights} with its weights")
    build = getattr(keras.applications, name)
    size = image_size or _USUAL_SIZE
    images = keras.Input((size, size, 3))
    scaled = sys.modules[build.__module__].preprocess_input(images)
    try:
        with warnings.catch_warnings():
            # If weights do not fit, Keras warns of each layer before it raises.
            warnings.simplefilter("ignore")
            trunk = build(
                include_top=False,
                weights=weights or "imagenet",
                input_shape=(size, size, 3),
                input_tensor=scaled,
            )
    except Exception as error:
        source = f"the weights in {weights} do not fit" if weights else "its weights cannot be downloaded"
        raise ValueError(f"{source} ({first_line(error)})") from error
    return keras.Model(images, trunk.outputs[0])


def applications() -> list[str]:
    """Returns the names of the networks in `keras.applications`."""
    return [name for name, value in vars(keras.applications).items() if callable(value)]


@keras.saving.register_keras_serializable("unroll")
class SmallImageEncoder(keras.layers.Layer):
    """Three convolutions, trained with the decoder: [batch, height, width, 3] -> [batch, positions, features].

    Each halves height and width. Beside their colours, pixels have their coordinates as channels (Liu et al., 2018,
    https://arxiv.org/abs/1807.03247), since a convolution alone does not know where it is.

    Args:
        features: Features of a position; the first two convolutions have a quarter and half as many.
    """

    def __init__(self, features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.convolutions = [
            keras.layers.Conv2D(
                max(1, features // share),
                3,
                strides=2,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"convolution_{number}",
            )
            for number, share in enumerate((4, 2, 1))
        ]

    @staticmethod
    def grid(height: int, width: int) -> tuple[int, int]:
        """Returns rows and columns of the grid for images of a size."""
        return -(-height // 8), -(-width // 8)

    def build(self, pixels_shape: tuple) -> None:
        channels = 5
        for convolution in self.convolutions:
            convolution.build((None, None, None, channels))
            channels = convolution.filters

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        batch, height, width = tf.shape(pixels)[0], pixels.shape[1], pixels.shape[2]
        rows, columns = tf.meshgrid(
            tf.linspace(-1.0, 1.0, height), tf.linspace(-1.0, 1.0, width), indexing="ij"
        )
        coordinates = tf.cast(tf.stack([rows, columns], axis=-1), self.compute_dtype)
        coordinates = tf.broadcast_to(coordinates, [batch, height, width, 2])
        maps = tf.concat([tf.cast(pixels, self.compute_dtype) / 127.5 - 1.0, coordinates], axis=-1)
        for convolution in self.convolutions:
            maps = convolution(maps)
        rows, columns = self.grid(height, width)
        return tf.reshape(maps, [batch, rows * columns, self.features])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"features": self.features}


def _layers_of(network: keras.Model) -> str:
    """Returns the layers of a frozen network with their options, and what they are called with, as JSON."""
    found = json.loads(network.to_json())
    # Keras numbers the networks, layers and inputs that a process makes.
    found["config"].pop("name", None)
    text = json.dumps(found, sort_keys=True).replace('"trainable": true', '"trainable": false')
    for number, layer in enumerate(found["config"]["layers"]):
        text = text.replace(json.dumps(layer["config"]["name"]), f'"layer {number}"')
    return text


def size_of_images(network: keras.Model, asked: int | None) -> tuple[int, int]:
    """Returns height and width of the images that a network takes.

    Raises:
        ValueError: If it does not take images, or not those of the size asked for.
    """
    shape = network.input_shape
    if isinstance(shape, Mapping | list) or len(shape) != 4 or shape[3] not in (3, None):
        raise ValueError(f"it takes {shape}, but RGB images [batch, height, width, 3] were expected")
    height, width = (side or asked or _USUAL_SIZE for side in shape[1:3])
    if asked and (height, width) != (asked, asked):
        raise ValueError(f"it takes images of {height} x {width} pixels, not of {asked} x {asked}")
    return height, width
