"""`top_k` against `tf.math.top_k`."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.decoding.top_k import top_k


# Rows in groups, of prime length, too short for groups, and with all values wanted.
@pytest.mark.parametrize(("length", "k"), [(60, 3), (96, 2), (6000, 9), (97, 4), (34, 20), (12, 12), (1, 1)])
@pytest.mark.parametrize("different", [4, 10_000])
def test_the_largest_and_the_first_of_equal_ones(length, k, different, rng):
    values = rng.integers(different, size=(3, 5, length)).astype(np.float32)
    found = tf.function(top_k)(tf.constant(values), k)
    expected = tf.math.top_k(values, k)
    np.testing.assert_array_equal(found[0], expected.values)
    np.testing.assert_array_equal(found[1], expected.indices)
    assert found[0].shape == (3, 5, k)


def test_rows_with_infinities_and_no_rows():
    values = np.full([2, 320], -np.inf, np.float32)
    values[1, [300, 17]] = 1, 2
    _, indices = top_k(tf.constant(values), 3)
    np.testing.assert_array_equal(indices, [[0, 1, 2], [17, 300, 0]])
    assert top_k(tf.zeros([0, 320]), 3)[1].shape == (0, 3)
