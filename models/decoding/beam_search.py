"""Beam search: the most probable sequences, side by side."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from .top_k import largest

# (ids int32 [rows], states) -> (logits float32 [rows, ids], states, seen float32 [rows, any]), a row for each
# hypothesis. What is seen at a step, an alignment say, is kept for the hypotheses that win.
Step = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any, tf.Tensor]]

_IMPOSSIBLE = -1e9


class Beams(NamedTuple):
    """Which hypotheses are kept, and how they are ranked.

    Attributes:
        width: number of hypotheses a row; 1 is greedy search.
        length_penalty: alpha; hypotheses are ranked by log probability / ((5 + length) / 6) ** alpha (Wu et al., 2016,
            https://arxiv.org/abs/1609.08144), where the length counts the end; 0 ranks by log probability.
        min_length: ids before the end, at least.
        block_ngrams: no n-gram of so many ids occurs twice in a hypothesis; 0: no such limit.
    """

    width: int
    length_penalty: float = 0.0
    min_length: int = 0
    block_ngrams: int = 0


class Hypotheses(NamedTuple):
    """The best sequences of each row, best first.

    Attributes:
        ids: int32 [batch, beams, time], padded with the end.
        lengths: int32 [batch, beams], ids before the end.
        log_probabilities: float32 [batch, beams], of the ids and the end, where it was written.
        scores: float32 [batch, beams], with the length penalty; hypotheses that there are not have -1e9 or less.
        seen: float32 [batch, beams, time, any], what was seen when each id was written.
    """

    ids: tf.Tensor
    lengths: tf.Tensor
    log_probabilities: tf.Tensor
    scores: tf.Tensor
    seen: tf.Tensor


def beam_search(
    step: Step,
    states: Any,
    start: int,
    end: int,
    max_length: tf.Tensor,
    beams: Beams,
    vocabulary_size: int,
    forbidden: Sequence[int] = (),
) -> Hypotheses:
    """Searches until every hypothesis of every row has ended or is long enough.

    A hypothesis that has ended stays as it is and keeps its place in the beam by its log probability; the length
    penalty ranks them when all is done.

    Args:
        step: reads an id of each hypothesis and gives the logits of the next.
        states: for the first step, a nest of tensors [batch, ...].
        start: the id that is read first.
        end: the id that ends a hypothesis.
        max_length: int32 [batch], ids before the end at most.
        beams: how to search.
        vocabulary_size: number of ids.
        forbidden: ids that are never written.
    """
    width = beams.width
    batch = tf.shape(max_length)[0]
    longest = tf.reduce_max(tf.concat([max_length, [0]], axis=0)) + 1
    states = tf.nest.map_structure(lambda state: tf.repeat(state, width, axis=0), states)
    # All hypotheses of a row are the same at first: only one of them counts.
    totals = tf.tile(tf.constant([[0.0] + [_IMPOSSIBLE] * (width - 1)]), [batch, 1])
    # So many more as may not be written are looked at.
    unwanted = tf.constant([*forbidden], tf.int32)
    candidates = min(width + len({*forbidden, end}), vocabulary_size)
    ids = tf.fill([batch, width, longest], end)

    def search(position: tf.Tensor, last: tf.Tensor, hypotheses: tuple, states: Any, arrays: tuple) -> tuple:
        totals, ended, ids = hypotheses
        logits, after, seen = step(tf.reshape(last, [-1]), states)
        logits = tf.reshape(logits, [batch, width, vocabulary_size])
        allowed = logits
        if beams.block_ngrams:
            allowed += _IMPOSSIBLE * _repeating(ids, position, beams.block_ngrams, vocabulary_size)
        # The best of each hypothesis, and then the best of all: faster than one search through both.
        best, choices = largest(allowed, candidates)
        normalizer = _log_normalizer(
            logits, largest(logits, 1)[1] if beams.block_ngrams else choices[..., :1]
        )
        best -= normalizer
        never = tf.reduce_any(tf.equal(choices[..., None], unwanted), axis=-1)
        never |= (position < beams.min_length) & tf.equal(choices, end)
        best = tf.where(never, _IMPOSSIBLE, best)
        # At the maximum length only the end may follow, and what has ended goes on with it at no cost.
        only_end = (ended | (position >= max_length)[:, None])[..., None]
        end_gain = tf.where(ended[..., None], 0.0, logits[..., end, None] - normalizer)
        best = tf.where(only_end, tf.where(tf.range(candidates) == 0, end_gain, _IMPOSSIBLE), best)
        choices = tf.where(only_end, end, choices)
        flat = tf.reshape(best + totals[..., None], [batch, width * candidates])
        totals, places = tf.math.top_k(flat, width)
        parents = places // candidates
        last = tf.gather(tf.reshape(choices, [batch, width * candidates]), places, batch_dims=1)
        ended = tf.gather(ended, parents, batch_dims=1) | tf.equal(last, end)
        ids = tf.gather(ids, parents, batch_dims=1)
        ids = tf.where(tf.equal(tf.range(longest), position), last[..., None], ids)
        rows = tf.reshape(tf.range(batch)[:, None] * width + parents, [-1])
        # A batch whose size is known when the graph is made keeps it.
        states = tf.nest.map_structure(
            lambda new, old: tf.ensure_shape(tf.gather(new, rows), old.shape), after, states
        )
        parent_array, seen_array = arrays
        arrays = (parent_array.write(position, rows), seen_array.write(position, seen))
        return position + 1, last, (totals, ended, ids), states, arrays

    arrays = (
        tf.TensorArray(tf.int32, size=longest, element_shape=[None]),
        tf.TensorArray(tf.float32, size=longest, element_shape=[None, None]),
    )
    length, _, (totals, _, ids), _, (parents, seen) = tf.while_loop(
        lambda position, last, hypotheses, *_: (position < longest) & ~tf.reduce_all(hypotheses[1]),
        search,
        (0, tf.fill([batch, width], start), (totals, tf.zeros([batch, width], tf.bool), ids), states, arrays),
    )
    return _ranked(ids[:, :, :length], totals, _traced(parents, seen, length, batch, width), end, beams)


def _log_normalizer(logits: tf.Tensor, likeliest: tf.Tensor) -> tf.Tensor:
    """What is subtracted from logits for log probabilities: [batch, beams, ids] and an id of the largest, int32 [batch,
    beams, 1], to [batch, beams, 1]."""
    # By way of the probabilities: TensorFlow has them on a CPU in half the time that their logarithms take.
    probabilities = tf.nn.softmax(logits)
    return tf.gather(logits, likeliest, batch_dims=2) - tf.math.log(
        tf.gather(probabilities, likeliest, batch_dims=2)
    )


def _repeating(ids: tf.Tensor, position: tf.Tensor, n: int, vocabulary_size: int) -> tf.Tensor:
    """1 for each id that would repeat an n-gram of its hypothesis, float32 [batch, beams, ids]."""
    length = tf.shape(ids)[2]
    # The n - 1 ids written last, and those at every earlier place.
    recent = tf.gather(ids, tf.maximum(position - n + 1 + tf.range(n - 1), 0), axis=2)
    padded = tf.pad(ids, [[0, 0], [0, 0], [0, n]])
    same = tf.ones(tf.shape(ids), tf.bool)
    for offset in range(n - 1):
        same &= tf.equal(padded[:, :, offset : offset + length], recent[:, :, offset, None])
    # Only where the whole n-gram lies before this place.
    same &= tf.range(length) + n - 1 < position
    following = padded[:, :, n - 1 : n - 1 + length]
    hits = tf.where(same, following, -1)
    return tf.reduce_max(tf.one_hot(hits, vocabulary_size), axis=2)


def _traced(
    parents: tf.TensorArray, seen: tf.TensorArray, length: tf.Tensor, batch: tf.Tensor, width: int
) -> tf.Tensor:
    """What each final hypothesis saw at its steps, [batch, beams, time, any]: back from the last step to the first."""

    def trace(position: tf.Tensor, rows: tf.Tensor, found: tf.TensorArray) -> tuple:
        rows = tf.gather(parents.read(position), rows)
        return position - 1, rows, found.write(position, tf.gather(seen.read(position), rows))

    found = tf.TensorArray(tf.float32, size=length, element_shape=[None, None])
    _, _, found = tf.while_loop(
        lambda position, *_: position >= 0, trace, (length - 1, tf.range(batch * width), found)
    )
    stacked = tf.transpose(found.stack(), [1, 0, 2])
    return tf.reshape(stacked, tf.concat([[batch, width], tf.shape(stacked)[1:]], axis=0))


def _ranked(ids: tf.Tensor, totals: tf.Tensor, seen: tf.Tensor, end: int, beams: Beams) -> Hypotheses:
    written = tf.reduce_sum(
        tf.cast(tf.cumsum(tf.cast(tf.equal(ids, end), tf.int32), axis=2) < 1, tf.int32), axis=2
    )
    with_end = tf.cast(written + 1, tf.float32)
    scores = totals / ((5.0 + with_end) / 6.0) ** beams.length_penalty
    # Hypotheses that there are not stay behind all others.
    scores = tf.where(totals <= _IMPOSSIBLE / 2, totals, scores)
    scores, order = tf.math.top_k(scores, beams.width)

    def ordered(tensor: tf.Tensor) -> tf.Tensor:
        return tf.gather(tensor, order, batch_dims=1)

    return Hypotheses(ordered(ids), ordered(written), ordered(totals), scores, ordered(seen))
