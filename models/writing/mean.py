"""Several models that write text as one: the mean of their probabilities at each step."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..mean import mean_of_probabilities
from .text_writer import TextWriter, WritingStep


class MeanWriter(TextWriter):
    """The mean of models with one vocabulary. The outputs are those of all members, side by side; the attention weights
    are means, too. A subclass defines `call`.

    Args:
        members: The models, with all their weights made.
    """

    def __init__(self, members: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = list(members)
        self.target_vocabulary_size = members[0].target_vocabulary_size
        # The members have all their weights.
        self.built = True

    def encode(self, inputs: tf.Tensor, training: bool = False) -> Any:
        return tuple(model.encode(inputs, training) for model in self.members)

    def start(self, encoded: Any, allowed: tf.Tensor | None = None) -> tuple[WritingStep, Any]:
        steps, states = zip(
            *(m.start(own, allowed) for m, own in zip(self.members, encoded, strict=True)), strict=True
        )

        def step(ids: tf.Tensor, states: Any) -> tuple[tf.Tensor, Any, tf.Tensor]:
            results = [member_step(ids, own) for member_step, own in zip(steps, states, strict=True)]
            logits, states, weights = zip(*results, strict=True)
            return mean_of_probabilities(logits), states, tf.add_n(weights) / len(weights)

        return step, states

    def logits(self, outputs: tf.Tensor) -> tf.Tensor:
        parts = tf.split(outputs, [model.decoder.output_size for model in self.members], axis=-1)
        return mean_of_probabilities([m.logits(own) for m, own in zip(self.members, parts, strict=True)])
