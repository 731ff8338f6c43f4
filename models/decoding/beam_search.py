"""Beam search, with length penalty, n-gram blocking and alignments."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from .top_k import top_k

# (ids int32 [rows], states) -> (logits float32 [rows, ids], states, alignment float32 [rows, positions]), one row per
# hypothesis. The alignment holds the attention weights of the step; there may be 0 positions.
Step = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any, tf.Tensor]]

# The logit of an id that must not be written.
IMPOSSIBLE = -1e9


class Beams(NamedTuple):
    """The options of beam search.

    Attributes:
        width: Number of hypotheses per row; 1 is greedy search.
        length_penalty: alpha; hypotheses are ranked by log probability / ((5 + length) / 6) ** alpha (Wu et al., 2016,
            https://arxiv.org/abs/1609.08144), where the length includes the end; 0 ranks by log probability.
        min_length: Minimum number of ids before the end.
        block_ngrams: n; no n-gram occurs twice in a hypothesis; 0: no limit.
        coverage_penalty: beta; the ranks of finished hypotheses add beta * sum over positions of log(min(sum over steps
            of the attention weight, 1)) (Wu et al., 2016), so that one that leaves out a part of the input falls back.
    """

    width: int
    length_penalty: float = 0.0
    min_length: int = 0
    block_ngrams: int = 0
    coverage_penalty: float = 0.0


class Hypotheses(NamedTuple):
    """The best sequences of each row, best first.

    Attributes:
        ids: int32 [batch, beams, time], padded with the end.
        lengths: int32 [batch, beams], number of ids before the end.
        log_probabilities: float32 [batch, beams], of the ids and the end, if it was written.
        scores: float32 [batch, beams], with the length penalty; missing hypotheses have -1e9 or less.
        alignments: float32 [batch, beams, time, positions], attention weights of the step that wrote each id.
        truncated: bool [batch, beams], whether the maximum length ended the sequence.
    """

    ids: tf.Tensor
    lengths: tf.Tensor
    log_probabilities: tf.Tensor
    scores: tf.Tensor
    alignments: tf.Tensor
    truncated: tf.Tensor


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
    """Searches until every hypothesis of every row has ended or reached its maximum length.

    A finished hypothesis stays in the beam with its log probability; the length penalty ranks the hypotheses once all
    have finished.

    Args:
        step: Reads an id of each hypothesis and returns the logits of the next.
        states: States for the first step, a nest of tensors [batch, ...].
        start: Id that is read first.
        end: Id that ends a hypothesis.
        max_length: int32 [batch], maximum number of ids before the end.
        beams: Options of the search.
        vocabulary_size: Number of ids; the smallest, if the number becomes known only when the graph runs.
        forbidden: Ids that are never written.
    """
    width = beams.width
    batch = tf.shape(max_length)[0]
    longest = tf.reduce_max(tf.concat([max_length, [0]], axis=0)) + 1
    states = tf.nest.map_structure(lambda state: tf.repeat(state, width, axis=0), states)
    # All hypotheses of a row start equal, so only one of them counts.
    totals = tf.tile(tf.constant([[0.0] + [IMPOSSIBLE] * (width - 1)]), [batch, 1])
    # Consider as many more candidates as may be forbidden.
    unwanted = tf.constant([*forbidden], tf.int32)
    candidates = min(width + len({*forbidden, end}), vocabulary_size)
    ids = tf.fill([batch, width, longest], end)

    def search(position: tf.Tensor, last: tf.Tensor, hypotheses: tuple, states: Any, arrays: tuple) -> tuple:
        totals, ended, ids = hypotheses
        logits, new_states, alignment = step(tf.reshape(last, [-1]), states)
        logits = tf.reshape(logits, [batch, width, logits.shape[-1] or tf.shape(logits)[1]])
        allowed = logits
        if beams.block_ngrams:
            allowed += IMPOSSIBLE * _repeating(ids, position, beams.block_ngrams, tf.shape(logits)[2])
        # The best of each hypothesis, then the best of all: faster than one search through both.
        best, choices = top_k(allowed, candidates)
        normalizer = _log_normalizer(logits, top_k(logits, 1)[1] if beams.block_ngrams else choices[..., :1])
        best -= normalizer
        never = tf.reduce_any(tf.equal(choices[..., None], unwanted), axis=-1)
        never |= (position < beams.min_length) & tf.equal(choices, end)
        best = tf.where(never, IMPOSSIBLE, best)
        # At the maximum length only the end may follow; a finished hypothesis repeats it at no cost.
        only_end = (ended | (position >= max_length)[:, None])[..., None]
        end_gain = tf.where(ended[..., None], 0.0, logits[..., end, None] - normalizer)
        best = tf.where(only_end, tf.where(tf.range(candidates) == 0, end_gain, IMPOSSIBLE), best)
        choices = tf.where(only_end, end, choices)
        flat = tf.reshape(best + totals[..., None], [batch, width * candidates])
        totals, winners = tf.math.top_k(flat, width)
        parents = winners // candidates
        last = tf.gather(tf.reshape(choices, [batch, width * candidates]), winners, batch_dims=1)
        ended = tf.gather(ended, parents, batch_dims=1) | tf.equal(last, end)
        ids = tf.gather(ids, parents, batch_dims=1)
        ids = tf.where(tf.equal(tf.range(longest), position), last[..., None], ids)
        rows = tf.reshape(tf.range(batch)[:, None] * width + parents, [-1])
        # Keep the size of a batch whose size is known when the graph is built.
        states = tf.nest.map_structure(
            lambda new, old: tf.ensure_shape(tf.gather(new, rows), old.shape), new_states, states
        )
        parents_array, alignments_array = arrays
        arrays = (parents_array.write(position, rows), alignments_array.write(position, alignment))
        return position + 1, last, (totals, ended, ids), states, arrays

    arrays = (
        tf.TensorArray(tf.int32, size=longest, element_shape=[None]),
        tf.TensorArray(tf.float32, size=longest, element_shape=[None, None]),
    )
    length, _, (totals, _, ids), _, (parents, alignments) = tf.while_loop(
        lambda position, last, hypotheses, *_: (position < longest) & ~tf.reduce_all(hypotheses[1]),
        search,
        (0, tf.fill([batch, width], start), (totals, tf.zeros([batch, width], tf.bool), ids), states, arrays),
    )
    traced = _traced(parents, alignments, length, batch, width)
    return _ranked(ids[:, :, :length], totals, traced, end, max_length, beams)


def _log_normalizer(logits: tf.Tensor, likeliest: tf.Tensor) -> tf.Tensor:
    """Returns log(sum(exp(logits))), [batch, beams, 1].

    Args:
        logits: [batch, beams, ids].
        likeliest: int32 [batch, beams, 1], an id of the largest logit.
    """
    # From the probabilities, which TensorFlow computes on a CPU in half the time of their logarithms.
    probabilities = tf.nn.softmax(logits)
    return tf.gather(logits, likeliest, batch_dims=2) - tf.math.log(
        tf.gather(probabilities, likeliest, batch_dims=2)
    )


def _repeating(ids: tf.Tensor, position: tf.Tensor, n: int, vocabulary_size: tf.Tensor) -> tf.Tensor:
    """Returns 1 for each id that would repeat an n-gram of its hypothesis, float32 [batch, beams, ids]."""
    length = tf.shape(ids)[2]
    # Compare the last n - 1 ids with those at every earlier position.
    recent = tf.gather(ids, tf.maximum(position - n + 1 + tf.range(n - 1), 0), axis=2)
    padded = tf.pad(ids, [[0, 0], [0, 0], [0, n]])
    same = tf.ones(tf.shape(ids), tf.bool)
    for offset in range(n - 1):
        same &= tf.equal(padded[:, :, offset : offset + length], recent[:, :, offset, None])
    # Only if the whole n-gram lies before this position.
    same &= tf.range(length) + n - 1 < position
    following = padded[:, :, n - 1 : n - 1 + length]
    hits = tf.where(same, following, -1)
    return tf.reduce_max(tf.one_hot(hits, vocabulary_size), axis=2)


def _traced(
    parents: tf.TensorArray, alignments: tf.TensorArray, length: tf.Tensor, batch: tf.Tensor, width: int
) -> tf.Tensor:
    """Collects the alignments of each final hypothesis from its last step back to its first, [batch, beams, time,
    positions]."""

    def trace(position: tf.Tensor, rows: tf.Tensor, found: tf.TensorArray) -> tuple:
        rows = tf.gather(parents.read(position), rows)
        return position - 1, rows, found.write(position, tf.gather(alignments.read(position), rows))

    found = tf.TensorArray(tf.float32, size=length, element_shape=[None, None])
    _, _, found = tf.while_loop(
        lambda position, *_: position >= 0, trace, (length - 1, tf.range(batch * width), found)
    )
    stacked = tf.transpose(found.stack(), [1, 0, 2])
    return tf.reshape(stacked, tf.concat([[batch, width], tf.shape(stacked)[1:]], axis=0))


def _coverage(alignments: tf.Tensor, written: tf.Tensor) -> tf.Tensor:
    """Returns the sum over positions of log(min(attention that they got, 1)), float32 [batch, beams].

    Args:
        alignments: float32 [batch, beams, time, positions].
        written: int32 [batch, beams], number of ids before the end, whose step counts, too.
    """
    steps = tf.range(tf.shape(alignments)[2]) <= written[..., None]
    got = tf.reduce_sum(tf.where(steps[..., None], alignments, 0.0), axis=2)
    # Padding, which no hypothesis attends to.
    nowhere = tf.reduce_all(tf.equal(alignments, 0), axis=[1, 2])[:, None]
    covered = tf.math.log(tf.clip_by_value(got, 1e-9, 1.0))
    return tf.reduce_sum(tf.where(nowhere, 0.0, covered), axis=2)


def _ranked(
    ids: tf.Tensor, totals: tf.Tensor, alignments: tf.Tensor, end: int, max_length: tf.Tensor, beams: Beams
) -> Hypotheses:
    written = tf.reduce_sum(
        tf.cast(tf.cumsum(tf.cast(tf.equal(ids, end), tf.int32), axis=2) < 1, tf.int32), axis=2
    )
    with_end = tf.cast(written + 1, tf.float32)
    scores = totals / ((5.0 + with_end) / 6.0) ** beams.length_penalty
    if beams.coverage_penalty:
        scores += beams.coverage_penalty * _coverage(alignments, written)
    # Missing hypotheses rank last.
    scores = tf.where(totals <= IMPOSSIBLE / 2, totals, scores)
    scores, order = tf.math.top_k(scores, beams.width)

    def ordered(tensor: tf.Tensor) -> tf.Tensor:
        return tf.gather(tensor, order, batch_dims=1)

    written = ordered(written)
    truncated = written >= max_length[:, None]
    return Hypotheses(ordered(ids), written, ordered(totals), scores, ordered(alignments), truncated)
