"""Attention of each kind against its formula in NumPy, with any mask."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from comparing import assert_same, gradients_of, randomize

from unroll.models.blocks.precision import dtype_policy
from unroll.models.options import DecoderOptions
from unroll.models.writing.attention import ATTENTIONS, Memory

BATCH, QUERIES, POSITIONS, UNITS = 4, 3, 6, 5
MASKS = {
    "full": np.ones((BATCH, POSITIONS), bool),
    "right_padded": np.arange(POSITIONS) < np.array([6, 3, 1, 0])[:, None],
    "left_padded": np.arange(POSITIONS) >= np.array([0, 3, 5, 6])[:, None],
    "holes": np.random.default_rng(7).random((BATCH, POSITIONS)) < 0.5,
}
# The score of a query with a key that was not projected yet.
SCORES = {
    "dot": lambda layer, q, k: q @ k,
    "scaled": lambda layer, q, k: q @ k / np.sqrt(UNITS),
    "general": lambda layer, q, k: q @ (k @ np.array(layer.key.kernel)),
    "additive": lambda layer, q, k: (
        np.array(layer.energy)
        @ np.tanh(
            q @ np.array(layer.query.kernel) + np.array(layer.query.bias) + k @ np.array(layer.key.kernel)
        )
    ),
}

KIND_OF = {layer_class: kind for kind, layer_class in ATTENTIONS.items()}


@pytest.fixture(params=ATTENTIONS)
def kind(request):
    return request.param


@pytest.fixture
def queries(rng):
    return tf.constant(rng.normal(size=(BATCH, QUERIES, UNITS)), tf.float32)


def values_for(kind, rng):
    """[batch, positions, features]; features differ in number from the queries' where possible."""
    features = UNITS if kind in ("dot", "scaled") else 4
    return rng.normal(size=(BATCH, POSITIONS, features)).astype(np.float32)


def built(kind, values, rng):
    layer = ATTENTIONS[kind](UNITS)
    layer(
        tf.zeros([1, 1, UNITS]), layer.remember(tf.zeros([1, 1, values.shape[2]]), tf.ones([1, 1], tf.bool))
    )
    randomize(layer, rng)
    return layer


def formula(layer, queries, values, mask):
    """The contexts and the weights, position by position."""
    contexts = np.zeros((*queries.shape[:2], values.shape[2]))
    weights = np.zeros((*queries.shape[:2], values.shape[1]))
    for row, query in np.ndindex(queries.shape[:2]):
        positions = np.flatnonzero(mask[row])
        scores = [
            SCORES[KIND_OF[type(layer)]](layer, queries[row, query], values[row, position])
            for position in positions
        ]
        if scores:
            exponentials = np.exp(np.array(scores) - max(scores))
            weights[row, query, positions] = exponentials / exponentials.sum()
            contexts[row, query] = weights[row, query] @ values[row]
    return contexts, weights


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_equals_its_formula_whatever_stands_at_masked_positions(kind, mask, queries, rng):
    values = values_for(kind, rng)
    layer = built(kind, values, rng)
    expected = formula(layer, queries.numpy(), values, mask)
    assert len(np.unique(expected[1].round(3))) > 3
    for filler in (0, 100, -100):
        filled = tf.constant(np.where(mask[..., None], values, np.float32(filler)))
        assert_same(layer(queries, layer.remember(filled, tf.constant(mask))), expected)


def test_weights_are_shares_and_zero_at_masked_positions(kind, queries, rng):
    mask = MASKS["right_padded"]
    values = values_for(kind, rng)
    layer = built(kind, values, rng)
    _, weights = layer(queries, layer.remember(tf.constant(values), tf.constant(mask)))
    assert not weights.numpy()[~np.broadcast_to(mask[:, None], weights.shape)].any()
    sums = weights.numpy().sum(axis=2)
    np.testing.assert_allclose(sums, np.broadcast_to(mask.any(axis=1)[:, None], sums.shape), atol=1e-6)


def test_an_empty_memory_gives_zeros_and_finite_gradients(kind, queries, rng):
    values = tf.constant(values_for(kind, rng))
    layer = built(kind, values, rng)
    mask = np.array([True, False, True, False])[:, None] & MASKS["full"]

    def looked():
        return layer(queries, layer.remember(values, tf.constant(mask)))

    (contexts, weights), gradients = gradients_of(looked, [queries, values], layer.trainable_variables)
    for tensor in (contexts, weights, *gradients[:2]):
        assert not tensor.numpy()[[1, 3]].any()
        assert tensor.numpy()[[0, 2]].any()
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert np.any(gradient)


def test_padding_of_the_memory_and_companions_change_nothing(kind, queries, rng):
    lengths = [6, 3, 1, 4]
    values = values_for(kind, rng)
    layer = built(kind, values, rng)
    longer = np.concatenate([values, rng.normal(size=values.shape)], axis=1).astype(np.float32)
    mask = tf.sequence_mask(lengths, 2 * POSITIONS)
    contexts, weights = layer(queries, layer.remember(tf.constant(longer), mask))
    for row, length in enumerate(lengths):
        alone = layer.remember(tf.constant(values[row : row + 1, :length]), tf.ones([1, length], tf.bool))
        context, weight = layer(queries[row : row + 1], alone)
        assert_same((contexts[row : row + 1], weights[row : row + 1, :, :length]), (context, weight))


def test_each_query_looks_for_itself(kind, queries, rng):
    values = values_for(kind, rng)
    layer = built(kind, values, rng)
    memory = layer.remember(tf.constant(values), tf.constant(MASKS["holes"]))
    together = layer(queries, memory)
    apart = [layer(queries[:, number : number + 1], memory) for number in range(QUERIES)]
    assert_same(together, tuple(tf.concat(parts, axis=1) for parts in zip(*apart, strict=True)))


def test_keys_are_computed_once(kind, rng):
    values = tf.constant(values_for(kind, rng))
    layer = built(kind, values, rng)
    memory = layer.remember(values, tf.constant(MASKS["full"]))
    assert isinstance(memory, Memory)
    keys = values if kind in ("dot", "scaled") else values.numpy() @ np.array(layer.key.kernel)
    assert_same(memory.keys, tf.constant(keys))


def test_every_weight_is_trained(kind, queries, rng):
    values = tf.constant(values_for(kind, rng))
    layer = built(kind, values, rng)
    weights = {"dot": 0, "scaled": 0, "general": 1, "additive": 4}[kind]
    assert len(layer.trainable_variables) == weights
    memory_of = tf.constant(MASKS["full"])
    _, gradients = gradients_of(
        lambda: layer(queries, layer.remember(values, memory_of)),
        [queries, values],
        layer.trainable_variables,
    )
    for gradient in gradients:
        assert (np.abs(gradient) > 1e-6).all()


def test_bfloat16_comes_close(kind, queries, rng):
    values = values_for(kind, rng)
    layer = built(kind, values, rng)
    mask = tf.constant(MASKS["right_padded"])
    expected = layer(queries, layer.remember(tf.constant(values), mask))
    values, queries = tf.cast(values, tf.bfloat16), tf.cast(queries, tf.bfloat16)
    with dtype_policy("mixed_bfloat16"):
        small = ATTENTIONS[kind](UNITS)
        small(queries, small.remember(values, mask))
    small.set_weights(layer.get_weights())
    contexts, weights = small(queries, small.remember(values, mask))
    assert contexts.dtype == weights.dtype == tf.bfloat16
    assert_same(tuple(tf.cast(t, tf.float32) for t in (contexts, weights)), expected, tolerance=0.1)
    assert not contexts[3].numpy().any()


def test_is_made_again_of_its_configuration(kind):
    layer = ATTENTIONS[kind](UNITS, name="looks")
    again = ATTENTIONS[kind].from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (type(again), again.units, again.name) == (ATTENTIONS[kind], UNITS, "looks")
    assert keras.saving.get_registered_object(f"unroll>{type(layer).__name__}") is type(layer)


def test_every_kind_that_the_flag_allows_is_there():
    (attention,) = (field for field in dataclasses.fields(DecoderOptions) if field.name == "attention")
    assert attention.metadata["choices"] == ("none", *ATTENTIONS)


def test_values_are_multiplied_by_a_kernel_before_they_are_averaged(kind, queries, rng):
    values = tf.constant(values_for(kind, rng))
    layer, mask = built(kind, values, rng), tf.constant(MASKS["holes"])
    kernel = tf.constant(rng.normal(size=(values.shape[2], 7)), tf.float32)
    contexts, weights = layer(queries, layer.remember(values, mask))
    expected = tf.tensordot(contexts, kernel, 1), weights
    assert_same(layer(queries, layer.remember(values, mask, kernel)), expected)
