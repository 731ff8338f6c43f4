"""Turns encoded images into the features that a run's decoder reads, in training and in the exported model."""

from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import keras
import tensorflow as tf

from ...common.errors import UserError
from ...models.images.decoding import read_images
from ...models.images.encoders import (
    FrozenEncoder,
    SmallImageEncoder,
    application,
    applications,
    grid_of,
    load_network,
    size_of_images,
)
from ...models.images.trained_part import TrainedPart, cut, with_maps
from .config import CaptioningConfig

_SMALL = "small"
_SMALL_SIZE = 64
# Change it whenever `read_images` decodes an image to other pixels: cached features depend on it.
_READING = "read_images 2"
# The run's own copy of a pretrained network.
_NETWORK = "image_encoder.keras"


class ImageFeatures:
    """Turns encoded images into cached arrays.

    These are the features of a frozen encoder, float16 [positions, features], or of its frozen layers, float16 [rows,
    columns, features], or the pixels, uint8 [height, width, 3], for an encoder that is trained as a whole.

    Args:
        config: Options of the run.
        folder: Directory with the run's copy of its pretrained network; None if it has none yet.
    """

    def __init__(self, config: CaptioningConfig, folder: Path | None) -> None:
        self._config = config
        self._folder = folder

    @cached_property
    def frozen(self) -> FrozenEncoder | None:
        """The frozen encoder, or None.

        Raises:
            UserError: If the encoder cannot be used.
        """
        config = self._config
        if config.image_encoder == _SMALL:
            return None
        try:
            return FrozenEncoder(self._parts[0], config.image_size)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(
                f"--image_encoder={config.image_encoder} cannot be used: {error}. Give a .keras file, the name of a "
                f"network in keras.applications, or {_SMALL}."
            ) from error

    @property
    def trained(self) -> keras.Model | None:
        """The layers above the frozen encoder that are trained with the decoder, with their first weights, or None."""
        return None if self.frozen is None else self._parts[1]

    @property
    def trained_part(self) -> TrainedPart | None:
        """What the model needs to make the trained layers, or None."""
        if self.frozen is None or self.trained is None:
            return None
        return TrainedPart(self.trained.to_json(), self.frozen.grid, self.frozen.features)

    def keep(self, folder: Path) -> None:
        """Saves a copy of the pretrained network in the run."""
        if self.frozen is not None:
            self._network.save(folder / _NETWORK)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the resized images."""
        if self.frozen is not None:
            return self.frozen.image_size
        side = self._config.image_size or _SMALL_SIZE
        return side, side

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid that the decoder attends to."""
        if self.frozen is None:
            return SmallImageEncoder.grid(*self.image_size)
        if self.trained is None:
            return self.frozen.grid
        frozen = (None, *self.frozen.grid, self.frozen.features)
        return grid_of(self.trained.compute_output_shape(frozen))[0]

    @property
    def features(self) -> int | None:
        """Number of features of a position in the cache; None for pixels."""
        return None if self.frozen is None else self.frozen.features

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of an image."""
        if self.frozen is None:
            return (*self.image_size, 3)
        positions = self.frozen.grid[0] * self.frozen.grid[1]
        # Convolutions that follow need the grid.
        return (
            (*self.frozen.grid, self.frozen.features) if self.trained else (positions, self.frozen.features)
        )

    @property
    def dtype(self) -> tf.DType:
        """Dtype of the array of an image in the cache."""
        return tf.uint8 if self.frozen is None else tf.float16

    @property
    def fingerprint(self) -> str:
        """A string that changes when the arrays of the same images change."""
        encoder = _SMALL if self.frozen is None else self.frozen.fingerprint
        # Layers with the same weights below them and maps of one shape give different features.
        layers = [*self._config.image_encoder_layers, *filter(None, [self._config.train_encoder_from])]
        return " ".join([_READING, str(self.image_size), encoder, *layers])

    def of(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Turns images, string [batch], into the model's input and error messages, string [batch]."""
        pixels, errors = read_images(images, *self.image_size)
        if self.frozen is None:
            return pixels, errors
        return tf.reshape(self.frozen(pixels), [-1, *self.shape]), errors

    @cached_property
    def encode(self) -> tf.types.experimental.PolymorphicFunction:
        """`of` as a graph; the cache changes the dtype."""
        return tf.function(self.of, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    @cached_property
    def _parts(self) -> tuple[keras.Model, keras.Model | None]:
        """The frozen encoder, and the layers above it that are trained with the decoder."""
        config = self._config
        names, first = config.image_encoder_layers, config.train_encoder_from
        network = self._network
        if not names and first is None:
            return network, None
        size = size_of_images(network, config.image_size)
        option = f"--image_encoder_layers={','.join(names)}"
        try:
            if names:
                network = with_maps(network, names, size)
            if first is None:
                return network, None
            option = f"--train_encoder_from={first}"
            return cut(network, first, size)
        except ValueError as error:
            raise UserError(
                f"{option} does not fit --image_encoder={config.image_encoder}: {error}."
            ) from error

    @cached_property
    def _network(self) -> keras.Model:
        name = self._config.image_encoder
        if self._folder is not None:
            return load_network(self._folder / _NETWORK)
        weights = self._config.image_encoder_weights
        if name in applications():
            return application(name, self._config.image_size, weights)
        if not Path(name).is_file():
            known = {known.casefold(): known for known in applications()}
            close = get_close_matches(name.casefold(), known, n=1)
            hint = f"; keras.applications has {known[close[0]]}" if close else ""
            raise ValueError(f"there is no such file{hint}")
        if weights is not None:
            raise UserError(
                f"--image_encoder_weights={weights} has an effect only with a network of keras.applications; leave it "
                f"out, since --image_encoder={name} has weights of its own."
            )
        return load_network(name)
