"""The loss of a softmax that a sample of the ids estimates."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.blocks.losses import masked_cross_entropy
from unroll.models.blocks.sampled_softmax import sampled_cross_entropy
from unroll.models.language_model import LanguageModel
from unroll.models.options import LanguageModelOptions

IDS = 12


@pytest.mark.parametrize("tied", [False, True])
def test_the_estimate_nears_the_whole_loss_with_its_gradient(tied, rng):
    options = LanguageModelOptions(units=6, embedding_size=6, tie_embeddings=tied)
    model = LanguageModel(IDS, options)
    ids = tf.constant(rng.integers(0, IDS, (4, 7)), tf.int32)
    model(ids)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    hidden, mask = model.hidden(ids[:, :-1])[0], tf.ones([4, 6], tf.bool)
    layer, seed = model.logits_layer, keras.random.SeedGenerator(0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(hidden)
        exact = masked_cross_entropy(model.logits(hidden), ids[:, 1:], mask)
        estimate = sampled_cross_entropy(layer, model._table, hidden, ids[:, 1:], 200_000, seed)
    assert np.abs(estimate - exact).max() < 0.05
    for of in (hidden, layer.bias.value):
        found, expected = tape.gradient(estimate, of), tape.gradient(exact, of)
        assert np.abs(tf.convert_to_tensor(found) - expected).max() < 0.15


def test_only_training_samples(rng):
    model = LanguageModel(IDS, LanguageModelOptions(units=6, sampled_softmax=3))
    ids, mask = tf.constant(rng.integers(0, IDS, (2, 5)), tf.int32), tf.ones([2, 5], tf.bool)
    model(ids)
    hidden, _ = model.hidden(ids)
    assert np.abs(model.losses_of(hidden, ids, mask) - model.losses_of(hidden, ids, mask)).max() > 0
    assert model(ids)[0].shape == (2, 5, IDS)
    assert np.array_equal(model.losses_of(hidden, ids, mask & False), np.zeros([2, 5]))
