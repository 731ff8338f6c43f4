"""Sentiment analysis: a text in, a label out."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle
from ...models.mean import MeanClassifier
from ...models.options import SentimentOptions
from ...models.sentiment import SentimentClassifier
from ..task import Task
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from . import signatures
from .config import SentimentConfig
from .data import SentimentData, SentimentSizes
from .evaluation import calibrate, evaluate, report


class Classification(Objective):
    """The cross-entropy of the labels, the mean of those of both sides of the model.

    Each side learns on its own: the wide side fits the training part so soon that together with it the deep side would
    have nothing left to learn.

    Args:
        adversarial: Norm of the disturbance of a text's embeddings, in mean norms of an embedding; 0: none. In training
            the loss of the deep side is then the mean of that of the text and of that of the text with the disturbance
            that raises it most, to first order (Miyato et al., 2017, https://arxiv.org/abs/1605.07725). They normalise
            the embeddings, so that larger ones cannot escape the disturbance; here it grows with them.
    """

    def __init__(self, adversarial: float = 0.0) -> None:
        self._adversarial = adversarial

    def loss(self, model: Any, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        ids, labels = batch["ids"], batch["label"]
        if training and self._adversarial:
            losses = self._adversarial_losses(model, ids, labels)
        else:
            losses = [_cross_entropy(labels, logits) for logits in model.sides(ids, training)]
        loss = Loss(
            total=tf.add_n([tf.reduce_sum(of_side) for of_side in losses]) / len(losses),
            weight=tf.cast(tf.size(labels), tf.float32),
            tokens=tf.reduce_sum(tf.cast(ids > 0, tf.float32)),
        )
        return loss, carry

    def _adversarial_losses(self, model: Any, ids: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        mask = ids > 0
        with tf.GradientTape() as tape:
            embedded = model.embedded(ids, training=True)
            tape.watch(embedded)
            losses = _cross_entropy(labels, model.deep_logits(embedded, mask, training=True))
        gradient = tf.cast(tape.gradient(losses, embedded), tf.float32)
        norms = tf.where(mask, tf.norm(tf.cast(embedded, tf.float32), axis=2), 0.0)
        size = self._adversarial * tf.math.divide_no_nan(
            tf.reduce_sum(norms, axis=1), tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)
        )
        unit = tf.math.divide_no_nan(gradient, tf.norm(gradient, axis=[1, 2], keepdims=True))
        disturbance = tf.stop_gradient(tf.cast(size[:, None, None] * unit, embedded.dtype))
        disturbed = _cross_entropy(labels, model.deep_logits(embedded + disturbance, mask, training=True))
        wide = [_cross_entropy(labels, model.ngrams(ids))] if model.ngrams else []
        return [*wide, (losses + disturbed) / 2]


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def build_model(config: SentimentConfig, sizes: SentimentSizes) -> SentimentClassifier:
    """Returns the classifier, with all its weights made."""
    options = SentimentOptions.of(
        config,
        ngram_buckets=sizes.ngram_buckets,
        sequence_length=min(config.segment or config.max_length, config.max_length),
    )
    model = SentimentClassifier(sizes.tokens, sizes.labels, options, seed=config.seed)
    model.build()
    return model


def initialize(model: SentimentClassifier, data: SentimentData) -> None:
    """Gives the n-grams their log-count ratios in the training part."""
    if model.ngrams:
        model.ngrams.start(data.ngram_counts, np.array([*data.label_counts.values()]))


def phases(config: SentimentConfig, sizes: SentimentSizes) -> list[Phase]:
    """Returns the phases of the training."""
    del sizes
    return [phase(config, Classification(config.adversarial))]


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
    metrics={"loss": "min", "accuracy": "max", "f1": "max", "calibration_error": "min"},
    data=SentimentData,
    build_model=build_model,
    initialize=initialize,
    phases=phases,
    calibrate=calibrate,
    evaluate=evaluate,
    report=report,
    bundle=bundle,
    limits=limits,
    mean=MeanClassifier,
)
