"""The many-to-many model: an encoder reads a sentence, a decoder with attention writes another one."""

from typing import Any

import keras
import tensorflow as tf

from .decoding import Beams, Hypotheses
from .recurrent import CELLS, RecurrentStack, States
from .text import END, PADDING
from .writing.writer import Encoded, WritingModel, embedded, embedding

BRIDGES = ("copy", "dense", "zero")


@keras.saving.register_keras_serializable("unroll")
class TranslationModel(WritingModel):
    """Encoder, bridge and decoder (Sutskever et al., 2014; Bahdanau et al., 2015; Luong et al., 2015).

    Args:
        source_vocabulary_size, target_vocabulary_size: numbers of ids.
        cell: lstm, gru or simple_rnn.
        layers: recurrent layers of the encoder, and as many of the decoder.
        units: of each layer; a bidirectional encoder has half of them in each direction, so that the states fit.
        embedding_size: of a token's vector.
        bidirectional: whether the encoder reads from both ends.
        residual: add a layer's input to its output.
        attention: dot, scaled, general, additive, or None, where all that the decoder knows are the first states.
        input_feeding: give the decoder its last output, too.
        bridge: from the encoder's last states to the decoder's first: copy them, dense (a layer with tanh), or zero.
        share_embeddings: one table for source and target, which must have one vocabulary.
        tie_embeddings: the target's embeddings are also the kernel of the logits (Press and Wolf, 2017).
        dropout, recurrent_dropout: shares dropped, the same at all steps of a sentence.
        word_dropout: share of the tokens, of the source and of what the decoder reads, that are hidden in training.
        truncate_gradient: steps that the gradient reaches back in each recurrent layer, or None for all.
        seed: of dropout.

    Call arguments:
        source: int32 [batch, places], zeros for padding, at least one place.
        target: int32 [batch, time], what the decoder reads: the start, and the translation without its last token.
        training: whether to drop.

    Returns:
        What `logits` wants: the decoder's outputs, [batch, time, output size].
    """

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        *,
        cell: str = "lstm",
        layers: int = 1,
        units: int = 512,
        embedding_size: int = 256,
        bidirectional: bool = True,
        residual: bool = False,
        attention: str | None = "general",
        input_feeding: bool = False,
        bridge: str = "copy",
        share_embeddings: bool = False,
        tie_embeddings: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        word_dropout: float = 0.0,
        truncate_gradient: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if bidirectional and units % 2:
            raise ValueError(f"units is {units}; a bidirectional encoder needs an even number.")
        if share_embeddings and source_vocabulary_size != target_vocabulary_size:
            raise ValueError("share_embeddings needs one vocabulary for both languages.")
        self.config = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "cell": cell,
            "layers": layers,
            "units": units,
            "embedding_size": embedding_size,
            "bidirectional": bidirectional,
            "residual": residual,
            "attention": attention,
            "input_feeding": input_feeding,
            "bridge": bridge,
            "share_embeddings": share_embeddings,
            "tie_embeddings": tie_embeddings,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "word_dropout": word_dropout,
            "truncate_gradient": truncate_gradient,
            "seed": seed,
        }
        common = {
            "residual": residual,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "truncate_gradient": truncate_gradient,
        }
        self.make_writer(
            target_vocabulary_size,
            embedding_size,
            cell,
            layers,
            units,
            tie_embeddings=tie_embeddings,
            word_dropout=word_dropout,
            seed=seed,
            attention=attention,
            input_feeding=input_feeding,
            **common,
        )
        self.source_embedding = (
            self.target_embedding
            if share_embeddings
            else embedding(source_vocabulary_size, embedding_size, name="source_embedding")
        )
        self.encoder = RecurrentStack(
            cell,
            layers,
            units // 2 if bidirectional else units,
            bidirectional=bidirectional,
            seed=seed + 1,
            name="encoder",
            **common,
        )
        self.bridge = bridge
        self.bridges = []
        if bridge == "dense":
            states = layers * len(CELLS[cell].state_names)
            self.bridges = [
                keras.layers.Dense(units, activation="tanh", name=f"bridge_{n}") for n in range(states)
            ]

    def build(self, source_shape: tuple | None = None, target_shape: tuple | None = None) -> None:
        """Makes all weights, those of the logits too; no size depends on the shapes."""
        units, size = self.config["units"], self.config["embedding_size"]
        self.build_writer(units)
        if not self.source_embedding.built:
            self.source_embedding.build()
        self.encoder.build((None, None, size))
        for layer in self.bridges:
            layer.build((None, units))

    def call(self, source: tf.Tensor, target: tf.Tensor, training: bool = False) -> tf.Tensor:
        encoded = self.encode(source, training)
        # Padding of the target comes last and is not predicted: it needs no mask. But where the gradient is truncated,
        # blocks are counted back from the last step that predicts something, and the end does not.
        mask = (target != PADDING) & (target != END) if self.config["truncate_gradient"] else None
        inputs = embedded(self.target_embedding, self.hidden_words(target, training))
        return self.decoder(
            inputs, memory=encoded.memory, states=encoded.states, mask=mask, training=training
        )

    def encode(self, source: tf.Tensor, training: bool = False) -> Encoded:
        """Reads sentences, int32 [batch, places]."""
        mask = tf.not_equal(source, PADDING)
        inputs = embedded(self.source_embedding, self.hidden_words(source, training))
        values, states = self.encoder(inputs, mask=mask, training=training)
        return Encoded(self.decoder.remember(values, mask), self._bridged(states))

    def translate(self, source: tf.Tensor, beams: Beams, longest: int) -> Hypotheses:
        """Searches the best translations, without a gradient.

        Args:
            source: int32 [batch, places], zeros for padding.
            beams: how to search.
            longest: tokens of a translation at most; it never has more than twice as many as the source and ten, unless
                that is less than the least number.
        """
        encoded = self.encode(source)
        lengths = tf.reduce_sum(tf.cast(encoded.memory.mask, tf.int32), axis=1)
        longest = tf.minimum(longest, tf.maximum(beams.min_length, 2 * lengths + 10))
        return self.search(encoded.memory, encoded.states, longest, beams)

    def _bridged(self, states: States) -> States:
        """The decoder's first states, from the encoder's last."""
        if self.config["bidirectional"]:
            # Of each layer the forward states come first, then the backward ones.
            halves = [(layer[: len(layer) // 2], layer[len(layer) // 2 :]) for layer in states]
            states = tuple(
                tuple(tf.concat(pair, axis=1) for pair in zip(forward, backward, strict=True))
                for forward, backward in halves
            )
        if self.bridge == "zero":
            return tf.nest.map_structure(tf.zeros_like, states)
        if self.bridge == "copy":
            return states
        flat = tf.nest.flatten(states)
        return tf.nest.pack_sequence_as(states, [d(s) for d, s in zip(self.bridges, flat, strict=True)])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.config
