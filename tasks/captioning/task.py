"""Captioning: an image in, a sentence out."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ...export.bundle import Bundle
from ...models.blocks.losses import shifted, twice
from ...models.captioning import CaptioningModel, MeanCaptioningModel
from ...models.images.trained_part import TrainedLayers
from ...models.options import CaptioningOptions
from ...models.text_options import RewardOptions
from ..beam_search import beams_of
from ..rewards import RewardedTexts, rewarded_phase
from ..task import Task
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from . import signatures
from .config import CaptioningConfig
from .data import CaptioningData, CaptioningSizes
from .evaluation import evaluate, report


class CaptionTokens(Objective):
    """The cross-entropy of the captions' tokens.

    Args:
        label_smoothing: Share of the probability that is to go to all tokens alike.
        doubly_stochastic: Weight of the doubly stochastic penalty on the attention.
        r_drop: Weight of the divergence between two passes with different dropout; 0: one pass.
    """

    def __init__(self, label_smoothing: float, doubly_stochastic: float, r_drop: float = 0.0) -> None:
        self._label_smoothing = label_smoothing
        self._doubly_stochastic = doubly_stochastic
        self._r_drop = r_drop

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        images, (inputs, targets) = batch["images"], shifted(batch["captions"])
        # Without dropout both passes would be the same.
        r_drop = self._r_drop if training else 0.0
        if r_drop:
            images, inputs = twice(images), twice(inputs)
        outputs, attention = model(images, inputs, training=training)
        losses, real = model.token_losses(outputs, targets, self._label_smoothing, r_drop)
        total, weight = tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
        if self._doubly_stochastic:
            penalties = doubly_stochastic_penalty(attention, twice(real) if r_drop else real)
            total += self._doubly_stochastic * tf.reduce_sum(penalties) / (2 if r_drop else 1)
        return Loss(total, weight, tokens=weight), carry


def doubly_stochastic_penalty(attention: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Returns the deviation of each caption's attention from a total of one at each position (Xu et al., 2015).

    Args:
        attention: float [images, captions, time, positions].
        real: bool [images, captions, time], False for padding.

    Returns:
        float32 [images, captions], the sum over positions of (1 - sum over real steps of the attention) ** 2.
    """
    total = tf.reduce_sum(tf.where(real[..., None], tf.cast(attention, tf.float32), 0.0), axis=2)
    written = tf.cast(tf.reduce_any(real, axis=2), tf.float32)
    return written * tf.reduce_sum(tf.square(1.0 - total), axis=2)


def build_model(config: CaptioningConfig, sizes: CaptioningSizes) -> CaptioningModel:
    """Returns the model, with all its weights made."""
    options = CaptioningOptions.of(config, sequence_length=config.max_length)
    model = CaptioningModel(
        sizes.tokens, sizes.features, options, trained_part=sizes.trained_part, seed=config.seed
    )
    model.build()
    return model


def initialize(model: CaptioningModel, data: CaptioningData) -> None:
    """Gives the trained layers of a pretrained encoder their weights."""
    network, layers = data.image_features.trained, model.image_encoder
    if network is not None and isinstance(layers, TrainedLayers):
        layers.start(network)


def mean(models: Sequence[CaptioningModel]) -> MeanCaptioningModel:
    """Returns the mean of the models of several runs."""
    return MeanCaptioningModel(models)


def phases(config: CaptioningConfig, sizes: CaptioningSizes) -> list[Phase]:
    """Returns the phases of the training: the rewarded epochs come last."""
    del sizes
    tokens = CaptionTokens(config.label_smoothing, config.doubly_stochastic, config.r_drop)
    found = [phase(config, tokens, config.epochs - config.rewarded_epochs)]
    if config.rewarded_epochs:
        rewards = RewardedTexts(
            lambda batch: (batch["images"], batch["captions"]),
            RewardOptions.of(config),
            config.label_smoothing,
        )
        found.append(rewarded_phase(config, rewards))
    return found


def bundle(model: keras.Model, data: CaptioningData) -> Bundle:
    """Returns the signatures to export."""
    config = data.config
    beams = beams_of(config, len(data.codec))
    return signatures.bundle(model, data.image_features, data.codec, beams, config.max_decode_length)


def limits(data: CaptioningData) -> list[str]:
    """Returns what the model cannot do."""
    height, width = data.image_features.image_size
    vocabulary = len(data.codec.vocabulary)
    return [
        f"It sees an image at {width} by {height} pixels, without small details.",
        f"It writes at most {data.config.max_decode_length} tokens, from a vocabulary of {vocabulary:,}.",
        "An image unlike its training data gets a fluent caption of something else.",
    ]


TASK = Task(
    metrics={
        "loss": "min",
        "bleu_1": "max",
        "bleu_2": "max",
        "bleu_3": "max",
        "bleu_4": "max",
        "cider": "max",
        "rouge_l": "max",
    },
    data=CaptioningData,
    build_model=build_model,
    initialize=initialize,
    phases=phases,
    evaluate=evaluate,
    report=report,
    bundle=bundle,
    limits=limits,
    mean=mean,
)
