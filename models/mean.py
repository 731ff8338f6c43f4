"""Several models as one: the mean of their probabilities."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from .explained import ExplainedClassifier
from .next_token import NextTokenModel
from .recurrent import States
from .recurrent.layer import RecurrentLayer


def mean_of_probabilities(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the logarithm of the mean of several distributions, given by their logits: float32 [..., ids] each -> the
    same.

    Decoders and samplers call it at each step.
    """
    logs = tf.stack([tf.nn.log_softmax(of) for of in logits])
    return tf.reduce_logsumexp(logs, axis=0) - math.log(len(logits))


class MeanLanguageModel(NextTokenModel):
    """The mean of language models with one vocabulary. The states are those of all members, one after another.

    Args:
        members: The models, with all their weights made.

    Call arguments and result: As of a member; the logits are log probabilities.
    """

    def __init__(self, members: Sequence[NextTokenModel], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.members = list(members)
        self.vocabulary_size = members[0].vocabulary_size
        self.built = True

    def call(
        self,
        ids: tf.Tensor,
        states: States | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, States]:
        states = self.initial_states(tf.shape(ids)[0]) if states is None else states
        pairs = zip(self.members, self._by_member(states), strict=True)
        results = [model(ids, states=own, mask=mask, training=training) for model, own in pairs]
        return self._joined(results)

    def stepper(self) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        steps = [model.stepper() for model in self.members]

        def step(ids: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
            pairs = zip(steps, self._by_member(states), strict=True)
            return self._joined([member_step(ids, own) for member_step, own in pairs])

        return step

    @property
    def state_layers(self) -> Sequence[RecurrentLayer]:
        return [layer for model in self.members for layer in model.state_layers]

    @property
    def description(self) -> str:
        return f"mean of {len(self.members)} runs"

    def _by_member(self, states: States) -> list[States]:
        """Splits the states of all layers by member."""
        split, begin = [], 0
        for model in self.members:
            end = begin + len(model.state_layers)
            split.append(states[begin:end])
            begin = end
        return split

    @staticmethod
    def _joined(results: Sequence[tuple[tf.Tensor, States]]) -> tuple[tf.Tensor, States]:
        logits = mean_of_probabilities([of for of, _ in results])
        return logits, tuple(layer for _, states in results for layer in states)


class MeanClassifier(ExplainedClassifier):
    """The mean of classifiers with one vocabulary and the same classes.

    Args:
        members: The models, with all their weights made.

    Call arguments and result: As of a member; the logits are log probabilities.
    """

    def __init__(self, members: Sequence[ExplainedClassifier], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = list(members)
        self.classes = members[0].classes
        self.feature_count = sum(model.feature_count for model in members)
        self.built = True

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.combined(self.sides(ids, training))

    def sides(self, ids: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Returns the logits of the members; arguments as for the model."""
        return [model(ids, training=training) for model in self.members]

    def combined(self, sides: list[tf.Tensor]) -> tf.Tensor:
        return mean_of_probabilities(sides)

    def features(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        texts, unknown = zip(*(model.features(ids) for model in self.members), strict=True)
        return tf.concat(texts, axis=2), tf.concat(unknown, axis=2)

    def logits_of(self, features: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        parts = tf.split(features, [model.feature_count for model in self.members], axis=2)
        return self.combined(
            [model.logits_of(part, mask) for model, part in zip(self.members, parts, strict=True)]
        )
