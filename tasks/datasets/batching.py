"""Batches of about equal work: examples of similar length, up to a number of tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from ...models.text import at_least_one_step

T = TypeVar("T")

# Neighbouring buckets differ in length by a quarter, which bounds the padding.
_GROWTH = 1.25
_SHORTEST = 8


def bucket_boundaries(longest: int) -> list[int]:
    """Returns the upper lengths of the buckets, from short to `longest`."""
    boundaries = []
    length = _SHORTEST
    while length < longest:
        boundaries.append(length)
        length = int(length * _GROWTH)
    return [*boundaries, longest]


def batch_by_tokens(
    examples: tf.data.Dataset,
    length_of: Callable[[Any], tf.Tensor],
    longest: int,
    batch_tokens: int,
    fixed_shapes: bool,
) -> tf.data.Dataset:
    """Returns zero-padded batches, each of examples from one bucket of lengths, with at least one step.

    Args:
        examples: Data set of nested vectors.
        length_of: example -> its length in tokens, int32 scalar, at most `longest`.
        longest: Length of the longest example.
        batch_tokens: Tokens in a batch, padding included; a batch has at least one example.
        fixed_shapes: Whether to pad to the length of the bucket instead of the longest example of the batch; a compiler
            then sees few shapes.
    """
    boundaries = bucket_boundaries(longest)
    sizes = [max(1, batch_tokens // boundary) for boundary in boundaries]
    # With `pad_to_bucket_boundary`, an element must be shorter than its boundary.
    batches = examples.bucket_by_sequence_length(
        length_of,
        [boundary + 1 for boundary in boundaries],
        [*sizes, 1],
        pad_to_bucket_boundary=fixed_shapes,
    )

    def pad(tensor: tf.Tensor) -> tf.Tensor:
        return tensor if tensor.shape.rank != 2 else at_least_one_step(tensor)

    return batches.map(lambda batch: tf.nest.map_structure(pad, batch))


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
