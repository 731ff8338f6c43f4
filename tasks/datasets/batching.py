"""Batches of about equal work: examples of similar length, up to a number of tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from ...models.text import at_least_one_step

T = TypeVar("T")

# Neighbouring buckets differ in length by a quarter, which bounds the padding.
_GROWTH = 1.25
_SHORTEST = 8


class BatchLimits(NamedTuple):
    """The limits of batches by tokens.

    Attributes:
        longest: Length of the longest example.
        batch_tokens: Tokens in a batch, padding included; a batch has at least one example.
    """

    longest: int
    batch_tokens: int


def bucket_boundaries(longest: int) -> list[int]:
    """Returns the upper lengths of the buckets, from short to `longest`."""
    return [*takewhile(lambda length: length < longest, _lengths()), longest]


def bucket(length: int) -> int:
    """Returns the number of the bucket of a length, from 0."""
    return len(bucket_boundaries(length)) - 1


def count_batches(buckets: Sequence[int], limits: BatchLimits) -> int:
    """Returns the number of batches that `batch_by_tokens` makes.

    Args:
        buckets: Number of examples in each bucket.
        limits: Limits of the batches.
    """
    sizes = _batch_sizes(bucket_boundaries(limits.longest), limits.batch_tokens)
    return sum(-(-examples // size) for examples, size in zip(buckets, sizes, strict=False))


def _lengths() -> Iterator[int]:
    length = _SHORTEST
    while True:
        yield length
        length = int(length * _GROWTH)


def _batch_sizes(boundaries: Sequence[int], batch_tokens: int) -> list[int]:
    """Returns the number of examples in a batch of each bucket."""
    return [max(1, batch_tokens // boundary) for boundary in boundaries]


def batch_by_tokens(
    examples: tf.data.Dataset,
    length_of: Callable[[Any], tf.Tensor],
    limits: BatchLimits,
    fixed_shapes: bool,
) -> tf.data.Dataset:
    """Returns zero-padded batches, each of examples from one bucket of lengths, with at least one step.

    Args:
        examples: Data set of nested vectors.
        length_of: example -> its length in tokens, int32 scalar, at most `limits.longest`.
        limits: Limits of the batches.
        fixed_shapes: Whether to pad to the length of the bucket instead of the longest example of the batch; a compiler
            then sees few shapes.
    """
    boundaries = bucket_boundaries(limits.longest)
    sizes = _batch_sizes(boundaries, limits.batch_tokens)
    # With `pad_to_bucket_boundary`, an element must be shorter than its boundary.
    batches = examples.bucket_by_sequence_length(
        length_of,
        [min(boundary + 1, tf.int32.max) for boundary in boundaries],
        [*sizes, 1],
        pad_to_bucket_boundary=fixed_shapes,
    )

    def pad(tensor: tf.Tensor) -> tf.Tensor:
        return tensor if tensor.shape.rank != 2 else at_least_one_step(tensor)

    return batches.map(lambda batch: tf.nest.map_structure(pad, batch), num_parallel_calls=2)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields successive lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def length_sorted_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Yields the positions of `lengths` in batches, from short to long, each of at most `batch_tokens` with padding."""
    batch: list[int] = []
    for position in np.argsort(lengths, kind="stable"):
        if batch and max(1, lengths[position]) * (len(batch) + 1) > batch_tokens:
            yield np.array(batch)
            batch = []
        batch.append(position)
    if batch:
        yield np.array(batch)
