"""The base class of models that write text with a decoder: token embeddings, decoder and logits."""

from typing import NamedTuple, TypeVar

import tensorflow as tf

from ..blocks.configured import Configured
from ..blocks.embedding import drop_words, embedded, embedding
from ..blocks.logits import Logits
from ..blocks.random import ReplicaSeedGenerator
from ..decoding import Sampling, sample
from ..options import DecoderOptions, WriterOptions
from ..recurrent import States
from ..text import END, PADDING, START
from .attention import Memory
from .decoder import Decoder, DecoderStates
from .text_writer import FORBIDDEN, TextWriter, WritingStep

WriterOptionsT = TypeVar("WriterOptionsT", bound=WriterOptions)


class Encoded(NamedTuple):
    """An encoded batch of sentences or images, for the decoder.

    Attributes:
        memory: The positions to attend to.
        states: Initial states of the decoder's recurrent layers.
    """

    memory: Memory
    states: States


class WritingModel(Configured[WriterOptionsT], TextWriter):
    """A model that writes text. A subclass encodes the input, and calls `make_writer` in its constructor."""

    def make_writer(self, vocabulary_size: int, seed: int) -> None:
        """Makes the parts that write; call it after setting `options`.

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
        self.logits_layer = Logits(vocabulary_size, tied=options.tie_embeddings, name="logits")

    def build_writer(self, features: int) -> None:
        """Builds the parts that write, for a memory with `features` features per position."""
        values = (None, None, features)
        self.target_embedding.build()
        self.decoder.build(
            (None, None, self.target_embedding.output_dim), Memory(values, values, (None, None))
        )
        if not self.logits_layer.built:
            self.logits_layer.build((None, self.decoder.output_size))

    def logits(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits of decoder outputs: [..., output size] -> float32 [..., ids]."""
        return self.logits_layer(outputs, table=self._table)

    def decode(self, ids: tf.Tensor, encoded: Encoded, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the decoder over whole texts.

        Args:
            ids: int32 [rows, time], the start and the text without its last token, then padding.
            encoded: The encoded input, with states for each row.
            training: Whether to apply dropout.

        Returns:
            The decoder's outputs, [rows, time, output size], and its attention weights, [rows, time, positions].
        """
        # Padding comes last and is not predicted, so it needs no mask. But blocks of a truncated gradient are counted
        # back from the last step with a target, and the step that reads the end has none.
        mask = (ids != PADDING) & (ids != END) if self.options.truncate_gradient else None
        inputs = embedded(self.target_embedding, self.hidden_words(ids, training))
        return self.decoder(
            inputs,
            memory=encoded.memory,
            states=encoded.states,
            mask=mask,
            training=training,
            return_weights=True,
        )

    def decode_texts(self, ids: tf.Tensor, encoded: Encoded, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the decoder over several texts for each row of the input, which share its memory.

        Args:
            ids: int32 [rows, texts, time], each text as in `decode`.
            encoded: The encoded input.
            training: Whether to apply dropout.

        Returns:
            The decoder's outputs, [rows, texts, time, output size], and its attention weights, [rows, texts, time,
            positions].
        """
        shape = tf.shape(ids)
        # The texts of an input are successive rows.
        states = tf.nest.map_structure(lambda state: _repeated(state, shape[1]), encoded.states)
        flat = tf.reshape(ids, [shape[0] * shape[1], shape[2]])
        outputs, weights = self.decode(flat, Encoded(encoded.memory, states), training)
        return tuple(
            tf.reshape(tensor, tf.concat([shape, tf.shape(tensor)[2:]], axis=0))
            for tensor in (outputs, weights)
        )

    @property
    def _table(self) -> tf.Tensor | None:
        return tf.convert_to_tensor(self.target_embedding.embeddings) if self.logits_layer.tied else None

    def stepper(self, memory: Memory, allowed: tf.Tensor | None = None) -> WritingStep:
        """Prepares a loop, and returns the function for one step of decoding, whose states are the decoder's.

        Args:
            memory: Memory to attend to.
            allowed: As for `start`.
        """
        decoder_step = self.decoder.stepper(memory)
        logits_of = self.logits_layer.function(self._table, allowed)

        def step(ids: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates, tf.Tensor]:
            known = ids if allowed is None else tf.gather(allowed, ids)
            outputs, states, weights = decoder_step(embedded(self.target_embedding, known), states)
            return logits_of(outputs), states, tf.cast(weights, tf.float32)

        return step

    def start(self, encoded: Encoded, allowed: tf.Tensor | None = None) -> tuple[WritingStep, DecoderStates]:
        return self.stepper(encoded.memory, allowed), self.decoder.initial_states(encoded.states)

    def draw(self, memory: Memory, states: States, max_length: tf.Tensor) -> tf.Tensor:
        """Draws texts from the model's distribution, without a gradient.

        Args:
            memory: Memory to attend to, with a row for each text or for several successive texts.
            states: Initial states of the decoder's recurrent layers, for each text.
            max_length: int32 [texts], maximum numbers of tokens.

        Returns:
            int32 [texts, 1 + time], in the form of training texts: the start, the tokens, the end where it was drawn,
            and zeros.
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
        ids = sample(step, logits, states, everything, max_length, END, FORBIDDEN).ids
        # `sample` repeats the end after a text's end.
        over = tf.cumsum(tf.cast(tf.equal(ids, END), tf.int32), axis=1, exclusive=True) > 0
        return tf.stop_gradient(tf.concat([start[:, None], tf.where(over, PADDING, ids)], axis=1))

    def draw_texts(self, encoded: Encoded, number: int, longest: tf.Tensor) -> tf.Tensor:
        """Draws several texts for each row of the input, as `draw` does.

        Args:
            encoded: The encoded input.
            number: Number of texts of each row.
            longest: int32 scalar, maximum number of tokens of a text.

        Returns:
            int32 [rows, number, 1 + time], in the form of training texts.
        """
        states = tf.nest.map_structure(lambda state: tf.repeat(state, number, axis=0), encoded.states)
        rows = tf.shape(encoded.memory.mask)[0]
        ids = self.draw(encoded.memory, states, tf.fill([rows * number], longest))
        return tf.reshape(ids, [rows, number, tf.shape(ids)[1]])

    def hidden_words(self, ids: tf.Tensor, training: bool) -> tf.Tensor:
        """Replaces a share of the ids by the unknown one in training (`word_dropout`)."""
        if not training or not self.options.word_dropout:
            return ids
        return drop_words(ids, self.options.word_dropout, self.seed_generator)


def _repeated(rows: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Returns each row several times in succession, [batch, units] -> [batch * number, units].

    The gradient of `tf.repeat` transposes integers; see `transpose_discrete`.
    """
    batch, units = tf.shape(rows)[0], rows.shape[1]
    return tf.reshape(tf.broadcast_to(rows[:, None], [batch, number, units]), [batch * number, units])
