"""The many-to-many model: an encoder reads a sentence, a decoder with attention writes another."""

import abc
from typing import Any

import keras
import tensorflow as tf

from .blocks.embedding import embedded, embedding
from .decoding import Beams, Hypotheses
from .options import RecurrentOptions, TranslationOptions
from .recurrent import RecurrentStack, States
from .recurrent.stack import state_count
from .text import PADDING
from .writing.mean import MeanWriter
from .writing.shortlist import Shortlist
from .writing.text_writer import TextWriter
from .writing.writer import Encoded, WritingModel


class Translator(TextWriter):
    """A model that translates."""

    @abc.abstractmethod
    def attention(self, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Returns the attention weights of each step, [batch, time, positions]; arguments as for the call."""

    def translate(
        self,
        source: tf.Tensor,
        beams: Beams,
        longest: tf.Tensor | int,
        unknown: bool = False,
        shortlist: Shortlist | None = None,
    ) -> Hypotheses:
        """Searches the best translations, without a gradient.

        Args:
            source: int32 [batch, positions], zeros for padding.
            beams: Options of the search.
            longest: Maximum number of tokens of a translation, for all or int32 [batch]. Another limit is
                2 * (tokens of the source) + 10, but at least `beams.min_length`.
            unknown: Whether the unknown token may be written.
            shortlist: The tokens that sentences may be translated with; None: all.
        """
        lengths = tf.math.count_nonzero(source != PADDING, axis=1, dtype=tf.int32)
        longest = tf.minimum(longest, tf.maximum(beams.min_length, 2 * lengths + 10))
        allowed = None if shortlist is None else shortlist(source)
        return self.search(self.encode(source), longest, beams, unknown, allowed)


@keras.saving.register_keras_serializable("unroll")
class TranslationModel(WritingModel[TranslationOptions], Translator):
    """Encoder, bridge and decoder (Sutskever et al., 2014; Bahdanau et al., 2015; Luong et al., 2015).

    Args:
        source_vocabulary_size, target_vocabulary_size: Numbers of ids.
        options: Options of the model. Encoder and decoder have `layers` layers each; a bidirectional encoder has half
            of `units` in each direction, so that its states fit the decoder.
        share_embeddings: Whether source and target share one embedding table; they must have one vocabulary.
        seed: Seed of dropout.

    Call arguments:
        source: int32 [batch, positions], zeros for padding, at least one position.
        target: int32 [batch, time], the decoder's input: the start, and the translation without its last token.
        training: Whether to apply dropout.

    Returns:
        The decoder's outputs, the inputs of `logits`, [batch, time, output size].
    """

    options_class = TranslationOptions

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        options: TranslationOptions,
        *,
        share_embeddings: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if share_embeddings and source_vocabulary_size != target_vocabulary_size:
            raise ValueError("share_embeddings needs one vocabulary for both languages.")
        self.options = options
        self.arguments = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "share_embeddings": share_embeddings,
            "seed": seed,
        }
        self.make_writer(target_vocabulary_size, seed)
        self.source_embedding = (
            self.target_embedding
            if share_embeddings
            else embedding(source_vocabulary_size, options.embedding_size, name="source_embedding")
        )
        units = options.units // 2 if options.bidirectional else options.units
        self.encoder = RecurrentStack(
            RecurrentOptions.of(options, units=units),
            bidirectional=options.bidirectional,
            seed=seed + 1,
            name="encoder",
        )
        self.bridges = []
        if options.bridge == "dense":
            self.bridges = [
                keras.layers.Dense(options.units, activation="tanh", name=f"bridge_{n}")
                for n in range(state_count(options))
            ]

    def build(self, source_shape: tuple | None = None, target_shape: tuple | None = None) -> None:
        """Makes all weights, including the logits'; no size depends on the shapes."""
        units, size = self.options.units, self.options.embedding_size
        self.build_writer(units)
        if not self.source_embedding.built:
            self.source_embedding.build()
        self.encoder.build((None, None, size))
        for layer in self.bridges:
            layer.build((None, units))

    def call(self, source: tf.Tensor, target: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.decode(target, self.encode(source, training), training)[0]

    def attention(self, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return self.decode(target, self.encode(source), training=False)[1]

    def encode(self, source: tf.Tensor, training: bool = False) -> Encoded:
        """Encodes sentences, int32 [batch, positions], into a memory and the decoder's initial states."""
        mask = tf.not_equal(source, PADDING)
        inputs = embedded(self.source_embedding, self.hidden_words(source, training))
        values, states = self.encoder(inputs, mask=mask, training=training)
        return Encoded(self.decoder.remember(values, mask), self._bridged(states))

    def _bridged(self, states: States) -> States:
        """Returns the decoder's initial states, from the encoder's last."""
        if self.options.bidirectional:
            # Each layer has its forward states first, then the backward ones.
            halves = [(layer[: len(layer) // 2], layer[len(layer) // 2 :]) for layer in states]
            states = tuple(
                tuple(tf.concat(pair, axis=1) for pair in zip(forward, backward, strict=True))
                for forward, backward in halves
            )
        if self.options.bridge == "zero":
            return tf.nest.map_structure(tf.zeros_like, states)
        if self.options.bridge == "copy":
            return states
        flat = tf.nest.flatten(states)
        return tf.nest.pack_sequence_as(states, [d(s) for d, s in zip(self.bridges, flat, strict=True)])


class MeanTranslationModel(MeanWriter, Translator):
    """The mean of several translation models; call arguments and result are as of a member."""

    def call(self, source: tf.Tensor, target: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.concat([model(source, target, training=training) for model in self.members], axis=-1)

    def attention(self, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return tf.add_n([model.attention(source, target) for model in self.members]) / len(self.members)
