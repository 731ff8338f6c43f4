"""The one-to-many model: an image in, a sentence out."""

from typing import Any

import keras
import tensorflow as tf

from .decoding import Beams, Hypotheses
from .images.encoders import SmallImageEncoder
from .images.trained_part import TrainedLayers, TrainedPart
from .options import CaptioningOptions
from .recurrent import States
from .recurrent.stack import state_count
from .writing.mean import MeanWriter
from .writing.text_writer import TextWriter
from .writing.writer import Encoded, WritingModel


class Captioner(TextWriter):
    """A model that captions."""

    def caption(self, images: tf.Tensor, beams: Beams, longest: int) -> Hypotheses:
        """Searches the best captions, without a gradient.

        Args:
            images: [images, positions, features], or pixels.
            beams: Options of the search.
            longest: Maximum number of tokens of a caption.
        """
        return self.search(self.encode(images), tf.fill(tf.shape(images)[:1], longest), beams)


@keras.saving.register_keras_serializable("unroll")
class CaptioningModel(WritingModel[CaptioningOptions], Captioner):
    """A decoder that reads an image (Vinyals et al., 2015, https://arxiv.org/abs/1411.4555; Xu et al., 2015,
    https://arxiv.org/abs/1502.03044).

    The features of each position are projected to `units`, v_p = relu(W x_p + b), once for all captions of an image.

    Args:
        vocabulary_size: Number of ids.
        features: Features of a position of the grid; None: the model reads pixels, through a `SmallImageEncoder`.
        options: Options of the model. The mean of the grid becomes the decoder's first states, tanh(W mean + b), or its
            first input, W mean + b. `dropout` acts on the features of the image, too.
        trained_part: Layers of a pretrained network to train between the features and the projection; None for none.
            `image_encoder.start` gives them their first weights.
        seed: Seed of dropout.

    Call arguments:
        images: [images, positions, features]; [images, rows, columns, features] for a trained part; or uint8 [images,
            height, width, 3].
        captions: int32 [images, captions, time], the decoder's input: the start, and the caption without its last
            token; zeros for padding.
        training: Whether to apply dropout.

    Returns:
        The inputs of `logits`, [images, captions, time, output size], and the attention weights, [images, captions,
        time, positions].
    """

    options_class = CaptioningOptions

    def __init__(
        self,
        vocabulary_size: int,
        features: int | None,
        options: CaptioningOptions,
        *,
        trained_part: TrainedPart | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.arguments = {
            "vocabulary_size": vocabulary_size,
            "features": features,
            "trained_part": trained_part,
            "seed": seed,
        }
        self.image_encoder = None
        if features is None:
            self.image_encoder = SmallImageEncoder(options.units, name="image_encoder")
        elif trained_part is not None:
            self.image_encoder = TrainedLayers(trained_part, options.encoder_rate, name="image_encoder")
        self.projection = keras.layers.Dense(options.units, activation="relu", name="projection")
        if options.image_as == "state":
            self.starts = [
                keras.layers.Dense(options.units, activation="tanh", name=f"start_{n}")
                for n in range(state_count(options))
            ]
        else:
            self.starts = [keras.layers.Dense(options.embedding_size, name="first_input")]
        self.make_writer(vocabulary_size, seed)

    def build(self, images_shape: tuple | None = None, captions_shape: tuple | None = None) -> None:
        """Makes all weights, including the logits'; no size depends on the shapes."""
        units, features = self.options.units, self.arguments["features"]
        if self.image_encoder is not None:
            self.image_encoder.build((None, None, None, 3))
            features = self.image_encoder.features
        self.projection.build((None, None, features))
        for start in self.starts:
            start.build((None, units))
        self.build_writer(units)

    def call(
        self, images: tf.Tensor, captions: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return self.decode_texts(captions, self.encode(images, training), training)

    def encode(self, images: tf.Tensor, training: bool = False) -> Encoded:
        """Encodes images into a memory of their positions and the decoder's initial states."""
        features = images if self.image_encoder is None else self.image_encoder(images)
        features = tf.cast(features, self.compute_dtype)
        if training and self.options.dropout:
            features = keras.random.dropout(features, self.options.dropout, seed=self.seed_generator)
        values = self.projection(features)
        all_real = tf.ones(tf.shape(values)[:2], tf.bool)
        return Encoded(self.decoder.remember(values, all_real), self._states(tf.reduce_mean(values, axis=1)))

    def _states(self, mean: tf.Tensor) -> States:
        """Returns the decoder's initial states, from the mean of the positions, [images, units]."""
        zeros = self.decoder.recurrent.get_initial_state(tf.shape(mean)[0])
        if self.options.image_as == "state":
            return tf.nest.pack_sequence_as(zeros, [start(mean) for start in self.starts])
        first = self.starts[0](mean)
        if self.options.input_feeding:
            first = tf.concat(
                [first, tf.zeros([tf.shape(mean)[0], self.decoder.output_size], first.dtype)], axis=1
            )
        _, states = self.decoder.recurrent.stepper(projected=False)(first, zeros)
        return states


class MeanCaptioningModel(MeanWriter, Captioner):
    """The mean of several captioning models; call arguments and results are as of a member."""

    def call(
        self, images: tf.Tensor, captions: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        results = [model(images, captions, training=training) for model in self.members]
        outputs, weights = zip(*results, strict=True)
        return tf.concat(outputs, axis=-1), tf.add_n(weights) / len(weights)
