"""The many-to-many model: an encoder reads a sentence, a decoder with attention writes another one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from unroll.models.attention import Memory
from unroll.models.decoder import Decoder, DecoderStates
from unroll.models.decoding import Beams, Hypotheses, beam_search
from unroll.models.random import ReplicaSeedGenerator
from unroll.models.recurrent import RecurrentStack, States
from unroll.models.text.pieces import END, START
from unroll.models.text.vocabulary import PADDING, UNKNOWN

BRIDGES = ("copy", "dense", "zero")


class Encoded(NamedTuple):
    """A batch of sentences as the decoder needs them.

    Attributes:
        memory: to look into.
        states: of the decoder's recurrent layers at the start.
    """

    memory: Memory
    states: States


@keras.saving.register_keras_serializable("unroll")
class TranslationModel(keras.Model):
    """Encoder, bridge and decoder (Sutskever et al., 2014; Bahdanau et al., 2015; Luong et al., 2015).

    Args:
        source_vocabulary_size, target_vocabulary_size: numbers of ids.
        cell: lstm or simple_rnn.
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
        self.word_dropout = word_dropout
        self.target_vocabulary_size = target_vocabulary_size
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.target_embedding = _embedding(target_vocabulary_size, embedding_size, "target_embedding")
        self.source_embedding = (
            self.target_embedding
            if share_embeddings
            else _embedding(source_vocabulary_size, embedding_size, "source_embedding")
        )
        common = {
            "residual": residual,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "truncate_gradient": truncate_gradient,
        }
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
            states = layers * (2 if cell == "lstm" else 1)
            self.bridges = [
                keras.layers.Dense(units, activation="tanh", name=f"bridge_{n}") for n in range(states)
            ]
        self.decoder = Decoder(
            cell,
            layers,
            units,
            embedding_size if tie_embeddings else units,
            attention=attention,
            input_feeding=input_feeding,
            seed=seed + 1001,
            name="decoder",
            **common,
        )
        self.tied = tie_embeddings
        if tie_embeddings:
            self.output_bias = self.add_weight(
                name="output_bias", shape=(target_vocabulary_size,), initializer="zeros"
            )
        else:
            self.output_layer = keras.layers.Dense(target_vocabulary_size, name="logits")

    def build(self, source_shape: tuple | None = None, target_shape: tuple | None = None) -> None:
        """Makes all weights, those of the logits too; no size depends on the shapes."""
        embedded = (None, None, self.config["embedding_size"])
        states, values = (None, self.config["units"]), (None, None, self.config["units"])
        for embedding in {id(e): e for e in (self.source_embedding, self.target_embedding)}.values():
            embedding.build()
        self.encoder.build(embedded)
        for layer in self.bridges:
            layer.build(states)
        self.decoder.build(embedded, Memory(values, (None, None), values))
        if not self.tied:
            self.output_layer.build((None, self.decoder.output_size))

    def call(self, source: tf.Tensor, target: tf.Tensor, training: bool = False) -> tf.Tensor:
        encoded = self.encode(source, training)
        # Padding of the target comes last and is not predicted: it needs no mask. But where the gradient is truncated,
        # blocks are counted back from the last step that predicts something, and the end does not.
        mask = (target != PADDING) & (target != END) if self.config["truncate_gradient"] else None
        inputs = self._embedded(self.target_embedding, self._hidden_words(target, training))
        return self.decoder(
            inputs, memory=encoded.memory, states=encoded.states, mask=mask, training=training
        )

    def encode(self, source: tf.Tensor, training: bool = False) -> Encoded:
        """Reads sentences, int32 [batch, places]."""
        mask = tf.not_equal(source, PADDING)
        embedded = self._embedded(self.source_embedding, self._hidden_words(source, training))
        values, states = self.encoder(embedded, mask=mask, training=training)
        return Encoded(self.decoder.remember(values, mask), self._bridged(states))

    def logits(self, outputs: tf.Tensor) -> tf.Tensor:
        """[rows, output size] -> float32 [rows, ids]."""
        return self._logits_layer()(outputs)

    def _logits_layer(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """`logits` for a loop that this is called before."""
        if not self.tied:
            return lambda outputs: tf.cast(self.output_layer(outputs), tf.float32)
        # Transposed once: on a CPU a small product with `transpose_b=True` runs at half the speed.
        kernel, bias = (
            tf.cast(tf.convert_to_tensor(weight), self.compute_dtype)
            for weight in (self.target_embedding.embeddings, self.output_bias)
        )
        kernel = tf.transpose(kernel)
        return lambda outputs: tf.cast(tf.nn.bias_add(tf.matmul(outputs, kernel), bias), tf.float32)

    def stepper(
        self, memory: Memory
    ) -> Callable[[tf.Tensor, DecoderStates], tuple[tf.Tensor, DecoderStates, tf.Tensor]]:
        """One step of decoding, for a loop that it is called before: a function from ids, int32 [rows], and states to
        logits, float32 [rows, ids], new states, and attention weights, float32 [rows, places]."""
        decoder_step, logits_of = self.decoder.stepper(memory), self._logits_layer()

        def step(ids: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates, tf.Tensor]:
            inputs = self._embedded(self.target_embedding, ids)
            outputs, states, weights = decoder_step(inputs, states)
            return logits_of(outputs), states, tf.cast(weights, tf.float32)

        return step

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
        return beam_search(
            self.stepper(encoded.memory),
            self.decoder.initial_states(encoded.states),
            START,
            END,
            tf.minimum(longest, tf.maximum(beams.min_length, 2 * lengths + 10)),
            beams,
            self.target_vocabulary_size,
            forbidden=[PADDING, UNKNOWN, START],
        )

    def _embedded(self, embedding: keras.layers.Embedding, ids: tf.Tensor) -> tf.Tensor:
        # Of variance 1, whether or not they are also a kernel, which must begin small (Vaswani et al., 2017).
        return embedding(ids) * self.config["embedding_size"] ** 0.5

    def _hidden_words(self, ids: tf.Tensor, training: bool) -> tf.Tensor:
        if not training or not self.word_dropout:
            return ids
        hidden = keras.random.uniform(tf.shape(ids), seed=self.seed_generator) < self.word_dropout
        return tf.where(hidden & (ids != PADDING), UNKNOWN, ids)

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


def _embedding(ids: int, size: int, name: str) -> keras.layers.Embedding:
    return keras.layers.Embedding(ids, size, keras.initializers.RandomNormal(stddev=size**-0.5), name=name)
