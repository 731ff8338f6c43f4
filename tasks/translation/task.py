"""Translation: a sentence in, a sentence out."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ...export.bundle import Bundle
from ...models.blocks.losses import shifted, twice
from ...models.options import TranslationOptions
from ...models.text_options import RewardOptions
from ...models.translation import MeanTranslationModel, TranslationModel, Translator
from ..beam_search import beams_of
from ..rewards import RewardedTexts, rewarded_phase
from ..task import Task
from ..training.objective import Batch, Loss, Objective
from ..training.phases import Phase, phase
from . import signatures
from .config import TranslationConfig
from .data import TranslationData, TranslationSizes
from .evaluation import evaluate, report
from .lexicon import learn_shortlist


class TargetTokens(Objective):
    """The cross-entropy of the target's tokens.

    Args:
        label_smoothing: Share of the target probability to spread evenly over all tokens.
        r_drop: Weight of the divergence between two passes with different dropout; 0: one pass.
    """

    def __init__(self, label_smoothing: float, r_drop: float = 0.0) -> None:
        self._label_smoothing = label_smoothing
        self._r_drop = r_drop

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        source, (inputs, targets) = batch["source"], shifted(batch["target"])
        # Without dropout both passes would be the same.
        r_drop = self._r_drop if training else 0.0
        if r_drop:
            source, inputs = twice(source), twice(inputs)
        outputs = model(source, inputs, training=training)
        losses, _ = model.token_losses(outputs, targets, self._label_smoothing, r_drop)
        weight = tf.cast(tf.size(losses), tf.float32)
        return Loss(tf.reduce_sum(losses), weight, tokens=weight), carry


def build_model(config: TranslationConfig, sizes: TranslationSizes) -> TranslationModel:
    """Returns the model, with all its weights made."""
    model = TranslationModel(
        sizes.source_tokens,
        sizes.target_tokens,
        TranslationOptions.of(config, sequence_length=config.max_length),
        share_embeddings=config.joint_vocabulary and config.tie_embeddings,
        seed=config.seed,
    )
    model.build()
    return model


def mean(models: Sequence[TranslationModel]) -> MeanTranslationModel:
    """Returns the mean of the models of several runs, with all its weights made."""
    model, ids = MeanTranslationModel(models), tf.ones([1, 1], tf.int32)
    model(ids, ids)
    return model


def phases(config: TranslationConfig, sizes: TranslationSizes) -> list[Phase]:
    """Returns the phases of the training: the rewarded epochs come last."""
    del sizes
    tokens = TargetTokens(config.label_smoothing, config.r_drop)
    found = [phase(config, tokens, config.epochs - config.rewarded_epochs)]
    if config.rewarded_epochs:
        rewards = RewardedTexts(
            lambda batch: (batch["source"], batch["target"][:, None]),
            RewardOptions.of(config),
            config.label_smoothing,
        )
        found.append(rewarded_phase(config, rewards))
    return found


def bundle(model: Translator, data: TranslationData) -> Bundle:
    """Returns the signatures to export."""
    config = data.config
    beams = beams_of(config, len(data.target_codec))
    return signatures.bundle(
        model,
        data.source_codec,
        data.target_codec,
        beams,
        config.max_decode_length,
        copy_unknown=config.copy_unknown,
        shortlist=learn_shortlist(model, data, config.shortlist),
    )


def limits(data: TranslationData) -> list[str]:
    """Returns what the model cannot do."""
    config = data.config
    return [
        f"It translates from {config.source_language} to {config.target_language}, each text as one sentence.",
        f"It reads the first {config.max_length} tokens of a text, and writes at most {config.max_decode_length}.",
        "A text unlike its training data gets a fluent translation that may say something else.",
    ]


TASK = Task(
    metrics={"loss": "min", "perplexity": "min", "bleu": "max", "chrf": "max"},
    data=TranslationData,
    build_model=build_model,
    phases=phases,
    evaluate=evaluate,
    report=report,
    bundle=bundle,
    limits=limits,
    mean=mean,
)
