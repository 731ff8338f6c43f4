"""What all models have in common that write a text: embeddings of its tokens, a decoder, and logits."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from ..blocks.configured import Configured
from ..blocks.random import ReplicaSeedGenerator
from ..decoding import Beams, Hypotheses, Sampling, beam_search, sample
from ..options import DecoderOptions, WriterOptions
from ..recurrent import States
from ..text import END, PADDING, START, UNKNOWN
from .attention import Memory
from .decoder import Decoder, DecoderStates

# Ids that are never written.
_FORBIDDEN = (PADDING, UNKNOWN, START)


class Encoded(NamedTuple):
    """A batch of what is written about, sentences or images, as the decoder needs it.

    Attributes:
        memory: to look into.
        states: of the decoder's recurrent layers at the start.
    """

    memory: Memory
    states: States


class WritingModel(Configured, keras.Model):
    """A model that writes. Its subclass calls `make_writer` when it is made, and reads what the text is about."""

    options: WriterOptions

    def make_writer(self, vocabulary_size: int, seed: int) -> None:
        """Makes the parts that write, after `options` was set.

        Args:
            vocabulary_size: Number of ids.
            seed: Seed of dropout.
        """
        options = self.options
        self.target_vocabulary_size = vocabulary_size
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.target_embedding = embedding(vocabulary_size, options.embedding_size, name="target_embedding")
        self.decoder = Decoder(
            DecoderOptions.of(options),
            # Tied embeddings are the kernel of the logits (Press and Wolf, 2017).
            options.embedding_size if options.tie_embeddings else options.units,
            seed=seed + 1001,
            name="decoder",
        )
        if options.tie_embeddings:
            self.output_bias = self.add_weight(
                name="output_bias", shape=(vocabulary_size,), initializer="zeros"
            )
        else:
            self.output_layer = keras.layers.Dense(vocabulary_size, name="logits")

    def build_writer(self, features: int) -> None:
        """Makes the weights of these parts. `features`: of a place in the memory."""
        values = (None, None, features)
        self.target_embedding.build()
        self.decoder.build(
            (None, None, self.target_embedding.output_dim), Memory(values, (None, None), values)
        )
        if not self.options.tie_embeddings:
            self.output_layer.build((None, self.decoder.output_size))

    def logits(self, outputs: tf.Tensor) -> tf.Tensor:
        """[rows, output size] -> float32 [rows, ids]."""
        return self._logits_layer()(outputs)

    def _logits_layer(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """`logits` for a loop that this is called before."""
        if self.options.tie_embeddings:
            weights = self.target_embedding.embeddings, self.output_bias
        else:
            weights = self.output_layer.kernel, self.output_layer.bias
        kernel, bias = (tf.cast(tf.convert_to_tensor(weight), self.compute_dtype) for weight in weights)
        if self.options.tie_embeddings:
            # Once: on a CPU a small product with `transpose_b=True` runs at half the speed.
            kernel = tf.transpose(kernel)
        return lambda outputs: tf.cast(tf.nn.bias_add(tf.matmul(outputs, kernel), bias), tf.float32)

    def stepper(
        self, memory: Memory
    ) -> Callable[[tf.Tensor, DecoderStates], tuple[tf.Tensor, DecoderStates, tf.Tensor]]:
        """One step of decoding, for a loop that it is called before: a function from ids, int32 [rows], and states to
        logits, float32 [rows, ids], new states, and attention weights, float32 [rows, places]."""
        decoder_step, logits_of = self.decoder.stepper(memory), self._logits_layer()

        def step(ids: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates, tf.Tensor]:
            outputs, states, weights = decoder_step(embedded(self.target_embedding, ids), states)
            return logits_of(outputs), states, tf.cast(weights, tf.float32)

        return step

    def search(self, memory: Memory, states: States, max_length: tf.Tensor, beams: Beams) -> Hypotheses:
        """Searches the best texts, without a gradient.

        Args:
            memory: to look into.
            states: of the decoder's recurrent layers at the start.
            max_length: int32 [batch], tokens at most.
            beams: how to search.
        """
        return beam_search(
            self.stepper(memory),
            self.decoder.initial_states(states),
            START,
            END,
            max_length,
            beams,
            self.target_vocabulary_size,
            forbidden=_FORBIDDEN,
        )

    def draw(self, memory: Memory, states: States, max_length: tf.Tensor) -> tf.Tensor:
        """Draws texts from the model's distribution, without a gradient.

        Args:
            memory: to look into, a row for each text or for so many texts in succession.
            states: of the decoder's recurrent layers at the start, for each text.
            max_length: int32 [texts], tokens at most.

        Returns:
            int32 [texts, 1 + time], as texts are trained on: the start, the tokens, the end where it was written, and
            zeros.
        """
        stepper = self.stepper(memory)

        def step(ids: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates]:
            logits, states, _ = stepper(ids, states)
            return tf.ensure_shape(logits, [None, self.target_vocabulary_size]), states

        texts = tf.shape(max_length)[0]
        start = tf.fill([texts], START)
        logits, states = step(start, self.decoder.initial_states(states))
        seeds = tf.random.stateless_uniform(
            [texts], tf.cast(self.seed_generator.next(), tf.int32), None, None, tf.int64
        )
        everything = Sampling(tf.ones([texts]), tf.zeros([texts], tf.int32), tf.ones([texts]), seeds)
        ids, _ = sample(step, logits, states, everything, max_length, END, _FORBIDDEN)
        # Beyond its end a text is padded with further ones.
        over = tf.cumsum(tf.cast(tf.equal(ids, END), tf.int32), axis=1, exclusive=True) > 0
        return tf.stop_gradient(tf.concat([start[:, None], tf.where(over, PADDING, ids)], axis=1))

    def hidden_words(self, ids: tf.Tensor, training: bool) -> tf.Tensor:
        """The ids, in training some of them hidden."""
        if not training or not self.options.word_dropout:
            return ids
        hidden = keras.random.uniform(tf.shape(ids), seed=self.seed_generator) < self.options.word_dropout
        return tf.where(hidden & (ids != PADDING), UNKNOWN, ids)


def embedding(ids: int, size: int, name: str) -> keras.layers.Embedding:
    """Vectors of so many ids, which may also be the kernel of logits."""
    return keras.layers.Embedding(ids, size, keras.initializers.RandomNormal(stddev=size**-0.5), name=name)


def embedded(layer: keras.layers.Embedding, ids: tf.Tensor) -> tf.Tensor:
    """The vectors of some ids, int32 [...], as they are read: [..., size]."""
    # Those alone are cast, and not all that there are, as the layer would do at each step of a loop.
    vectors = tf.cast(tf.gather(tf.convert_to_tensor(layer.embeddings), ids), layer.compute_dtype)
    # Of variance 1, whether or not they are also a kernel, which must begin small (Vaswani et al., 2017).
    return vectors * layer.output_dim**0.5
