"""The next-element model: reads tokens, and gives the distribution of the next one at every step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from .blocks.configured import Configured
from .blocks.logits import Logits
from .blocks.losses import masked_cross_entropy
from .blocks.random import ReplicaSeedGenerator
from .blocks.sampled_softmax import sampled_cross_entropy
from .next_token import NextTokenModel
from .options import LanguageModelOptions, RecurrentOptions
from .recurrent import RecurrentStack, States
from .recurrent.layer import RecurrentLayer

# Ids whose projections are computed before a loop; with more ids, each step projects its own.
_PROJECTED = 4096


@keras.saving.register_keras_serializable("unroll")
class LanguageModel(Configured[LanguageModelOptions], NextTokenModel):
    """Embedding or one-hot vectors, stacked recurrent layers, and a layer of logits.

    Args:
        vocabulary_size: Number of ids.
        options: Options of the model. `dropout` acts on the embedding, between the layers and before the logits, the
            same at all steps of a window (Gal and Ghahramani, 2016, https://arxiv.org/abs/1512.05287). `tie_embeddings`
            follows Press and Wolf (2017, https://arxiv.org/abs/1608.05859).
        seed: Seed of dropout.

    Call arguments:
        ids: int32 [batch, time].
        states: Initial states, as an earlier call returned them; None for zeros.
        mask: bool [batch, time], True for the ids to read; None: all.
        training: Whether to apply dropout.

    Returns:
        The logits of the next id after each step, float32 [batch, time, ids], and the states after the last.
    """

    options_class = LanguageModelOptions

    def __init__(
        self, vocabulary_size: int, options: LanguageModelOptions, *, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.options = options
        self.arguments = {"vocabulary_size": vocabulary_size, "seed": seed}
        self.vocabulary_size = vocabulary_size
        self.embedding = None
        if options.embedding_size:
            self.embedding = keras.layers.Embedding(vocabulary_size, options.embedding_size, name="embedding")
        self.recurrent = RecurrentStack(
            RecurrentOptions.of(options),
            # Dropout on a one-hot vector would drop the character itself.
            input_dropout=None if options.embedding_size else 0.0,
            concatenates=options.skip_connections,
            seed=seed,
            name="recurrent",
        )
        self.backward = None
        if options.backward:
            self.backward = RecurrentStack(
                RecurrentOptions.of(options),
                input_dropout=None if options.embedding_size else 0.0,
                concatenates=options.skip_connections,
                seed=seed + 2 * options.layers,
                name="backward",
            )
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.logits_layer = Logits(vocabulary_size, tied=options.tie_embeddings, name="logits")

    def build(self, ids_shape: tuple | None = None) -> None:
        """Makes all weights; no size depends on the shape."""
        options = self.options
        if self.embedding is not None:
            self.embedding.build()
        for stack in filter(None, (self.recurrent, self.backward)):
            stack.build((None, None, options.embedding_size or self.vocabulary_size))
        self.logits_layer.build(
            (None, None, options.units * (options.layers if options.skip_connections else 1))
        )

    def call(
        self,
        ids: tf.Tensor,
        states: States | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, States]:
        hidden, last = self.hidden(ids, states, mask, training)
        return self.logits(hidden), last

    def hidden(
        self,
        ids: tf.Tensor,
        states: States | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
        backward: bool = False,
    ) -> tuple[tf.Tensor, States]:
        """Does the work of a call, but returns what the logits are computed from, [batch, time, units].

        Args:
            ids, states, mask, training: As for a call.
            backward: Whether to use the backward stack; the ids are then in its reading order, from the end.
        """
        stack = self.backward if backward and self.backward else self.recurrent
        hidden, last = stack(self.vectors(ids), states=states, mask=mask, training=training)
        if training and self.options.dropout:
            shape = (tf.shape(hidden)[0], 1, hidden.shape[2])
            hidden = keras.random.dropout(
                hidden, self.options.dropout, noise_shape=shape, seed=self.seed_generator
            )
        return hidden, last

    def losses_of(self, hidden: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the training loss at each position, in nats, and zero where the mask is False: the cross-entropy, or
        with `sampled_softmax` its estimate.

        Args:
            hidden: As `hidden` returns it.
            targets: int32 [batch, time].
            mask: bool [batch, time].
        """
        samples = self.options.sampled_softmax
        if not samples:
            return masked_cross_entropy(self.logits(hidden), targets, mask)
        losses = sampled_cross_entropy(
            self.logits_layer, self._table, hidden, targets, samples, self.seed_generator
        )
        return tf.where(mask, losses, tf.zeros_like(losses))

    @property
    def state_layers(self) -> Sequence[RecurrentLayer]:
        return self.recurrent.layers

    @property
    def description(self) -> str:
        return f"{self.options.cell}, {self.options.layers} x {self.options.units}"

    def vectors(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the vector of each id: int32 [...] -> [..., features]."""
        if self.embedding is None:
            # Keras builds a loaded model with floats.
            return tf.one_hot(tf.cast(ids, tf.int32), self.vocabulary_size, dtype=self.compute_dtype)
        return self.embedding(ids)

    def logits(self, hidden: tf.Tensor) -> tf.Tensor:
        """Computes logits: [..., units] -> float32 [..., ids]."""
        return self.logits_layer(hidden, table=self._table)

    def _project(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the projections of ids: int32 [n] -> [n, gates * units]."""
        return self.recurrent.project(self.vectors(ids))

    @property
    def _table(self) -> tf.Tensor | None:
        if self.embedding is None or not self.logits_layer.tied:
            return None
        return tf.convert_to_tensor(self.embedding.embeddings)

    def stepper(self) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        recurrent_step, logits_of = self.recurrent.stepper(), self.logits_layer.function(self._table)
        read = self._project
        if self.vocabulary_size <= _PROJECTED:
            # The projections of all ids are the same at every step.
            projected = self._project(tf.range(self.vocabulary_size))

            def read(ids: tf.Tensor) -> tf.Tensor:
                return tf.gather(projected, ids)

        def step(ids: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
            hidden, states = recurrent_step(read(ids), states)
            return logits_of(hidden), states

        return step
