"""The one-to-many model: an image in, a sentence out."""

from typing import Any

import keras
import tensorflow as tf

from .decoding import Beams, Hypotheses
from .images.encoders import SmallImageEncoder
from .recurrent import CELLS, States
from .writing.writer import Encoded, WritingModel, embedded

IMAGE_PLACES = ("state", "input")


@keras.saving.register_keras_serializable("unroll")
class CaptioningModel(WritingModel):
    """A decoder that reads an image (Vinyals et al., 2015, https://arxiv.org/abs/1411.4555; Xu et al., 2015,
    https://arxiv.org/abs/1502.03044).

    The features of each place are projected to `units`, v_p = relu(W x_p + b), once for all captions of an image.

    Args:
        vocabulary_size: number of ids.
        features: of a place, as they come in; None: pixels come in, and go through a `SmallImageEncoder`.
        cell, layers, units, embedding_size, residual: of the decoder.
        attention: dot, scaled, general or additive, over the places; None: all that the decoder knows of the image is
            what it is given at the start.
        gated: multiply what attention finds by a number that the decoder makes.
        input_feeding: give the decoder its last output, too.
        image_as: how the mean of the places gets into the decoder: state, as its first states, tanh(W mean + b), or
            input, as its first input, W mean + b.
        tie_embeddings: the embeddings are also the kernel of the logits.
        dropout, recurrent_dropout: shares dropped, the same at all steps of a caption, and of the image's features.
        word_dropout: share of the tokens read that are hidden in training.
        truncate_gradient: steps that the gradient reaches back, or None for all.
        seed: of dropout.

    Call arguments:
        images: [images, places, features], or uint8 [images, height, width, 3].
        captions: int32 [images, captions, time], what the decoder reads: the start, and the caption without its last
            token; zeros for padding.
        training: whether to drop.

    Returns:
        What `logits` wants, [images, captions, time, output size], and the attention weights, [images, captions, time,
        places].
    """

    def __init__(
        self,
        vocabulary_size: int,
        features: int | None,
        *,
        cell: str = "lstm",
        layers: int = 1,
        units: int = 512,
        embedding_size: int = 256,
        residual: bool = False,
        attention: str | None = "general",
        gated: bool = True,
        input_feeding: bool = False,
        image_as: str = "state",
        tie_embeddings: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        word_dropout: float = 0.0,
        truncate_gradient: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = {
            "vocabulary_size": vocabulary_size,
            "features": features,
            "cell": cell,
            "layers": layers,
            "units": units,
            "embedding_size": embedding_size,
            "residual": residual,
            "attention": attention,
            "gated": gated,
            "input_feeding": input_feeding,
            "image_as": image_as,
            "tie_embeddings": tie_embeddings,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "word_dropout": word_dropout,
            "truncate_gradient": truncate_gradient,
            "seed": seed,
        }
        self.dropout = dropout
        self.image_as = image_as
        self.image_encoder = None
        if features is None:
            self.image_encoder = SmallImageEncoder(units, name="image_encoder")
        self.projection = keras.layers.Dense(units, activation="relu", name="projection")
        if image_as == "state":
            states = layers * len(CELLS[cell].state_names)
            self.starts = [
                keras.layers.Dense(units, activation="tanh", name=f"start_{n}") for n in range(states)
            ]
        else:
            self.starts = [keras.layers.Dense(embedding_size, name="first_input")]
        self.make_writer(
            vocabulary_size,
            embedding_size,
            cell,
            layers,
            units,
            tie_embeddings=tie_embeddings,
            word_dropout=word_dropout,
            seed=seed,
            attention=attention,
            gated=gated,
            input_feeding=input_feeding,
            residual=residual,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            truncate_gradient=truncate_gradient,
        )

    def build(self, images_shape: tuple, captions_shape: tuple) -> None:
        # The image may be the decoder's first input, before the decoder is called. The other layers make their weights
        # when they are called.
        self.build_writer(self.config["units"])

    def call(
        self, images: tf.Tensor, captions: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(captions)
        # The captions of an image follow each other as rows, which share its place in the memory.
        ids = tf.reshape(captions, [shape[0] * shape[1], shape[2]])
        inputs = embedded(self.target_embedding, self.hidden_words(ids, training))
        seen = self.see(images, training)
        states = tf.nest.map_structure(lambda state: tf.repeat(state, shape[1], axis=0), seen.states)
        # Padding comes last and is not predicted: it needs no mask.
        outputs, weights = self.decoder(
            inputs, memory=seen.memory, states=states, training=training, return_weights=True
        )
        return tuple(
            tf.reshape(tensor, tf.concat([shape, tf.shape(tensor)[2:]], axis=0))
            for tensor in (outputs, weights)
        )

    def see(self, images: tf.Tensor, training: bool = False) -> Encoded:
        """Reads images."""
        features = images if self.image_encoder is None else self.image_encoder(images)
        features = tf.cast(features, self.compute_dtype)
        if training and self.dropout:
            features = keras.random.dropout(features, self.dropout, seed=self.seed_generator)
        values = self.projection(features)
        everywhere = tf.ones(tf.shape(values)[:2], tf.bool)
        return Encoded(
            self.decoder.remember(values, everywhere), self._states(tf.reduce_mean(values, axis=1))
        )

    def caption(self, images: tf.Tensor, beams: Beams, longest: int) -> Hypotheses:
        """Searches the best captions, without a gradient.

        Args:
            images: [images, places, features], or pixels.
            beams: how to search.
            longest: tokens of a caption at most.
        """
        seen = self.see(images)
        return self.search(seen.memory, seen.states, tf.fill(tf.shape(images)[:1], longest), beams)

    def draw_captions(self, images: tf.Tensor, number: int, longest: tf.Tensor) -> tf.Tensor:
        """Draws captions from the model's distribution, without a gradient.

        Args:
            images: [images, places, features], or pixels.
            number: captions of each image.
            longest: tokens of a caption at most.

        Returns:
            int32 [images, number, 1 + time], as captions are trained on.
        """
        seen = self.see(images)
        states = tf.nest.map_structure(lambda state: tf.repeat(state, number, axis=0), seen.states)
        count = tf.shape(images)[0]
        ids = self.draw(seen.memory, states, tf.fill([count * number], longest))
        return tf.reshape(ids, [count, number, tf.shape(ids)[1]])

    def _states(self, mean: tf.Tensor) -> States:
        """The decoder's first states, from the mean of the places, [images, units]."""
        nothing = self.decoder.recurrent.get_initial_state(tf.shape(mean)[0])
        if self.image_as == "state":
            return tf.nest.pack_sequence_as(nothing, [start(mean) for start in self.starts])
        first = self.starts[0](mean)
        if self.decoder.input_feeding:
            first = tf.concat(
                [first, tf.zeros([tf.shape(mean)[0], self.decoder.output_size], first.dtype)], axis=1
            )
        _, states = self.decoder.recurrent.stepper(projected=False)(first, nothing)
        return states

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.config
