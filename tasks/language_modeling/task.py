"""Language modelling: a text in, the distribution of its next token out."""

from typing import Any

import keras
import tensorflow as tf

from ...export.bundle import Bundle
from ...models.blocks.losses import shifted
from ...models.language_model import LanguageModel
from ...models.mean import MeanLanguageModel
from ...models.options import LanguageModelOptions
from ..task import Task, Truncation
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from . import signatures
from .config import LanguageModelingConfig
from .data import LanguageModelingData, LanguageModelSizes
from .evaluation import evaluate, report


class NextToken(Objective):
    """The cross-entropy of each next token.

    Args:
        lanes: Number of lanes, whose states go from batch to batch; None: documents are read whole.
    """

    def __init__(self, lanes: int | None) -> None:
        self._lanes = lanes

    def initial_carry(self, model: keras.Model) -> Any:
        return () if self._lanes is None else model.initial_states(self._lanes)

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        inputs, targets = shifted(batch["ids"])
        states = None
        if carry:
            goes_on = ~batch["reset"][:, None]
            states = tf.nest.map_structure(lambda s: tf.where(goes_on, s, tf.zeros_like(s)), carry)
        hidden, states = model.hidden(inputs, states=states, training=training)
        real = tf.sequence_mask(batch["length"], tf.shape(targets)[1])
        weight = tf.cast(tf.reduce_sum(batch["length"]), tf.float32)
        total = tf.reduce_sum(model.losses_of(hidden, targets, real))
        tokens = weight
        if model.backward:
            # The same ids from their end, each predicted from those after it in the window.
            reversed_ids = tf.reverse_sequence(batch["ids"], batch["length"] + 1, seq_axis=1)
            inputs, targets = shifted(reversed_ids)
            hidden, _ = model.hidden(inputs, training=training, backward=True)
            total += tf.reduce_sum(model.losses_of(hidden, targets, real))
            weight *= 2
        return Loss(total, weight, tokens), states if carry else ()


def build_model(config: LanguageModelingConfig, sizes: LanguageModelSizes) -> LanguageModel:
    """Returns the model, with all its weights made."""
    model = LanguageModel(
        sizes.tokens,
        LanguageModelOptions.of(config, sequence_length=config.truncation or None),
        seed=config.seed,
    )
    model.build()
    return model


def phases(config: LanguageModelingConfig, sizes: LanguageModelSizes) -> list[Phase]:
    """Returns the phases of the training."""
    return [phase(config, NextToken(sizes.lanes))]


def truncation(config: LanguageModelingConfig) -> Truncation:
    """Returns how far gradients reach."""
    return Truncation("truncation", config.truncation or None)


def bundle(model: keras.Model, data: LanguageModelingData) -> Bundle:
    """Returns the signatures to export."""
    return signatures.bundle(model, data.codec)


def limits(data: LanguageModelingData) -> list[str]:
    """Returns what the model cannot do."""
    return [
        f"It knows {len(data.codec.vocabulary):,} {data.config.tokenizer}, and writes no others; all others are "
        "the same to it.",
        "It continues a text in the style of its training data; its statements are no facts.",
    ]


TASK = Task(
    metrics={"loss": "min", "bits_per_character": "min", "perplexity": "min", "word_perplexity": "min"},
    data=LanguageModelingData,
    build_model=build_model,
    phases=phases,
    truncation=truncation,
    evaluate=evaluate,
    report=report,
    bundle=bundle,
    limits=limits,
    mean=MeanLanguageModel,
)
