"""Sentiment analysis: a text in, a label out."""

from typing import Any

import keras
import tensorflow as tf

from ...export.bundle import Bundle
from ...models.options import SentimentOptions
from ...models.sentiment import SentimentClassifier
from ..task import Task
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from . import signatures
from .config import SentimentConfig
from .data import SentimentData, SentimentSizes
from .evaluation import evaluate, report


class Classification(Objective):
    """The cross-entropy of the labels."""

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        logits = model(batch["ids"], training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits)
        loss = Loss(
            total=tf.reduce_sum(losses),
            weight=tf.cast(tf.size(losses), tf.float32),
            tokens=tf.reduce_sum(tf.cast(batch["ids"] > 0, tf.float32)),
        )
        return loss, carry


def build_model(config: SentimentConfig, sizes: SentimentSizes) -> SentimentClassifier:
    """Returns the classifier, with all its weights made."""
    options = SentimentOptions.of(config, sequence_length=config.max_length)
    model = SentimentClassifier(sizes.tokens, sizes.labels, options, seed=config.seed)
    model.build()
    return model


def phases(config: SentimentConfig, sizes: SentimentSizes) -> list[Phase]:
    """Returns the phases of the training."""
    del sizes
    return [phase(config, Classification())]


def bundle(model: keras.Model, data: SentimentData) -> Bundle:
    """Returns the signatures to export."""
    return signatures.bundle(model, data.codec, data.label_counts)


def limits(data: SentimentData) -> list[str]:
    """Returns what the model cannot do."""
    config = data.config
    return [
        f"Every text gets one of the labels {', '.join(data.labels)}, even one about another subject or in another "
        "language.",
        f"It reads the first {config.max_length} tokens of a text.",
        f"It knows {len(data.codec.vocabulary):,} {config.tokenizer}; all others are the same to it.",
    ]


TASK = Task(
    metrics={"loss": "min", "accuracy": "max", "f1": "max"},
    data=SentimentData,
    build_model=build_model,
    phases=phases,
    evaluate=evaluate,
    report=report,
    bundle=bundle,
    limits=limits,
)
