"""Sampling, with temperature, top-k, top-p, stop sequences and a seed per row."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..blocks.transpose import transpose_discrete
from .grammar import Grammar

# (ids int32 [batch], states) -> (logits float32 [batch, ids], states)
Step = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any]]

# Lower temperatures count as zero, since division by them may overflow.
_GREEDY = 1e-4
# The multipliers of SplitMix64 (Steele, Lea and Flood, 2014), as signed numbers.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


class Sampling(NamedTuple):
    """The options of sampling, per row.

    Attributes:
        temperature: float32 [batch], divisor of the logits; below 0.0001, or NaN, the most probable id is taken.
        top_k: int32 [batch], draws from the k most probable ids; 0 or less: from all.
        top_p: float32 [batch], draws from the fewest most probable ids that together have this probability, after top_k
            (Holtzman et al., 2020, https://arxiv.org/abs/1904.09751); 1 or more, or NaN: from all.
        seed: int64 [batch], which alone decides the random numbers of a row.
    """

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor
    seed: tf.Tensor


def uniform(seed: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Returns random numbers that depend on seed and position alone, not on the device or the rest of the batch.

    Args:
        seed: int64 [batch].
        position: int32, position of the draw in its row, from 0 on; any shape that broadcasts with the seed's.

    Returns:
        float32, the broadcast shape, in [0, 1), multiples of 2**-23: a product with any float32 is below that float32.
    """
    # SplitMix64 with the mixed seed as its state; the sums and products overflow on purpose.
    counter = tf.cast(position, tf.int64) + 1
    return tf.cast(_shifted_right(_mixed(_mixed(seed) + _INCREMENT * counter), 41), tf.float32) / 2**23


def draw(
    logits: tf.Tensor, sampling: Sampling, position: tf.Tensor, forbidden: Sequence[int] = ()
) -> tf.Tensor:
    """Draws the id of a position in each row, as `sample` does.

    Args:
        logits: float32 [batch, ids].
        sampling: Options of the rows.
        position: int32 [batch] or scalar, from 0 on.
        forbidden: Ids that are never drawn.

    Returns:
        int32 [batch].
    """
    return choose(logits + _allowed(logits.shape[1], forbidden), sampling, uniform(sampling.seed, position))


def choose(logits: tf.Tensor, sampling: Sampling, drawn: tf.Tensor) -> tf.Tensor:
    """Draws an id from each row.

    Args:
        logits: float32 [batch, ids]; -inf for forbidden ids.
        sampling: Options of the rows.
        drawn: float32 [batch], a random number in [0, 1) per row.

    Returns:
        int32 [batch].
    """
    greedy = (sampling.temperature < _GREEDY) | tf.math.is_nan(sampling.temperature)
    top_k = tf.where(greedy, 1, sampling.top_k)
    # The logits of forbidden ids divided by infinity would be NaN.
    temperature = tf.minimum(tf.where(greedy, 1.0, sampling.temperature), tf.float32.max)
    probabilities = tf.nn.softmax(logits / temperature[:, None])
    probabilities = tf.cond(
        tf.reduce_any((top_k > 0) | (sampling.top_p < 1)),
        lambda: probabilities * _most_probable(probabilities, top_k, sampling.top_p),
        lambda: probabilities,
    )
    # The first id at which the cumulative mass exceeds the drawn number.
    mass = tf.cumsum(probabilities, axis=1)
    drawn = drawn[:, None] * mass[:, -1:]
    return tf.reduce_sum(tf.cast(mass <= drawn, tf.int32), axis=1)


def _allowed(ids: int, forbidden: Sequence[int]) -> tf.Tensor:
    """Returns minus infinity for the forbidden ids and 0 for the others, float32 [ids]."""
    return tf.constant([-float("inf") if number in forbidden else 0.0 for number in range(ids)])


def _most_probable(probabilities: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> tf.Tensor:
    """Returns 1 for the ids that may be drawn and 0 for the others, float32 [batch, ids]."""
    width = tf.shape(probabilities)[1]
    ordered, ids = tf.math.top_k(probabilities, width)
    ranks = tf.range(width)
    kept = (top_k[:, None] <= 0) | (ranks < top_k[:, None])
    ordered = tf.where(kept, ordered, 0.0)
    before = tf.cumsum(ordered, axis=1, exclusive=True) / tf.reduce_sum(ordered, axis=1, keepdims=True)
    kept &= (ranks == 0) | (before < top_p[:, None]) | tf.math.is_nan(top_p)[:, None]
    return tf.gather(tf.cast(kept, tf.float32), tf.argsort(ids), batch_dims=1)


class Samples(NamedTuple):
    """Sampled texts.

    Attributes:
        ids: int32 [batch, time], padded with the end.
        scores: float32 [batch], their log probability by the unchanged logits.
        truncated: bool [batch], whether the maximum length ended the row.
        surplus: int32 [batch], number of units of the last id that follow the row's stop sequence.
    """

    ids: tf.Tensor
    scores: tf.Tensor
    truncated: tf.Tensor
    surplus: tf.Tensor


def sample(
    step: Step,
    logits: tf.Tensor,
    states: Any,
    sampling: Sampling,
    max_length: tf.Tensor,
    end: int,
    forbidden: Sequence[int] = (),
    stop: tf.RaggedTensor | None = None,
    grammar: Grammar | None = None,
    spelling: np.ndarray | None = None,
) -> Samples:
    """Samples until every row has reached its end, one of its stop sequences or its maximum length.

    Args:
        step: Reads an id of each row and returns the logits of the next.
        logits: float32 [batch, ids], logits of the first id.
        states: States for the first step, a nest of tensors.
        sampling: Options of the rows.
        max_length: int32 [batch], maximum number of ids.
        end: Id that ends a row; it is not part of the result.
        forbidden: Ids that are never written.
        stop: int32 [batch, (sequences), (units)], sequences that end their rows, as part of the result; an empty one
            never does.
        grammar: Rules for the ids; the maximum length then cuts before a character of several ids, not within.
        spelling: The units of each id, int32 [ids, longest], padded with -1; None: an id is a unit.
    """
    batch = tf.shape(logits)[0]
    allowed = _allowed(logits.shape[1], forbidden)
    longest = tf.reduce_max(tf.concat([max_length, [0]], axis=0))
    drawn = uniform(sampling.seed, tf.range(longest)[:, None])
    recent = () if stop is None else _Recent.none_yet(stop)
    units = tf.constant(np.arange(logits.shape[1])[:, None] if spelling is None else spelling, tf.int32)

    def write(
        position: tf.Tensor,
        logits: tf.Tensor,
        states: Any,
        done: tf.Tensor,
        score: tf.Tensor,
        truncated: tf.Tensor,
        surplus: tf.Tensor,
        recent: Any,
        within: Any,
        written: tf.TensorArray,
    ) -> tuple:
        masked = (
            logits + allowed if grammar is None else logits + allowed + tf.gather(grammar.penalties, within)
        )
        ids = choose(masked, sampling, drawn[position])
        ended, left = done | tf.equal(ids, end), max_length - position
        too_long = left < 1 if grammar is None else (within < 1) & (tf.gather(grammar.lengths, ids) > left)
        done = ended | too_long
        truncated |= too_long & ~ended
        ids = tf.where(done, end, ids)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
        score -= tf.where(done, 0.0, loss)
        complete = tf.ones([batch], tf.bool)
        if grammar is not None:
            within = tf.gather_nd(grammar.following, tf.stack([within, ids], axis=1))
            complete = within < 1
        stopped = tf.zeros([batch], tf.bool)
        if stop is not None:
            recent, after = recent.followed_by(tf.gather(units, ids))
            stopped = (after >= 0) & complete
            surplus = tf.where(stopped & ~done, after, surplus)
        full = ~done & (left <= 1)
        truncated |= full & ~stopped
        done |= full | stopped
        # The last step is wasted, which costs less than a branch in every step.
        logits, states = step(ids, states)
        return (
            position + 1,
            logits,
            states,
            done,
            score,
            truncated,
            surplus,
            recent,
            within,
            written.write(position, ids),
        )

    # The loop may make no step, and an empty array cannot be stacked: write an element before it.
    written = tf.TensorArray(tf.int32, size=tf.maximum(longest, 1), element_shape=[None])
    written = written.write(0, tf.fill([batch], end))
    none = max_length <= 0
    within = () if grammar is None else tf.zeros([batch], tf.int32)
    position, _, _, _, score, truncated, surplus, _, _, written = tf.while_loop(
        lambda position, logits, states, done, *_: (position < longest) & ~tf.reduce_all(done),
        write,
        (
            0,
            logits,
            states,
            none,
            tf.zeros([batch]),
            none,
            tf.zeros([batch], tf.int32),
            recent,
            within,
            written,
        ),
    )
    return Samples(transpose_discrete(written.stack()[:position]), score, truncated, surplus)


def draw_character(
    step: Step,
    logits: tf.Tensor,
    states: Any,
    sampling: Sampling,
    position: tf.Tensor | int,
    forbidden: Sequence[int],
    grammar: Grammar,
) -> tf.Tensor:
    """Draws all ids of a character, as `sample` does.

    Args:
        step: Reads an id of each row and returns the logits of the next.
        logits: float32 [batch, ids], logits of the first id.
        states: States for the first step, a nest of tensors.
        sampling: Options of the rows.
        position: int32 [batch] or scalar, number of ids before the character.
        forbidden: Ids that are never drawn.
        grammar: Rules for the ids.

    Returns:
        int32 [batch, longest character], padded with 0; zeros alone for the end of the text.
    """
    batch, longest = tf.shape(logits)[0], int(grammar.lengths.max())

    def write(
        number: tf.Tensor, logits: tf.Tensor, states: Any, within: tf.Tensor, drawn: tf.Tensor
    ) -> tuple:
        ids = draw(logits + tf.gather(grammar.penalties, within), sampling, position + number, forbidden)
        ids = tf.where((number < 1) | (within > 0), ids, 0)
        within = tf.gather_nd(grammar.following, tf.stack([within, ids], axis=1))
        logits, states = step(ids, states)
        return (
            number + 1,
            logits,
            states,
            within,
            tf.where(tf.equal(tf.range(longest), number), ids[:, None], drawn),
        )

    _, _, _, _, drawn = tf.while_loop(
        lambda number, logits, states, within, drawn: (number < 1) | tf.reduce_any(within > 0),
        write,
        (0, logits, states, tf.zeros([batch], tf.int32), tf.zeros([batch, longest], tf.int32)),
    )
    return drawn


class _Recent(NamedTuple):
    """The stop sequences of each row, int32 [batch, sequences, longest], of which shorter ones begin with -1, and the
    last units of each row, int32 [batch, longest]."""

    stop: tf.Tensor
    units: tf.Tensor

    @classmethod
    def none_yet(cls, stop: tf.RaggedTensor) -> "_Recent":
        padded = stop.to_tensor(-1)
        longest = tf.shape(padded)[2]
        # Moves each sequence to the end of its row.
        lengths = tf.reduce_sum(tf.cast(padded >= 0, tf.int32), axis=2, keepdims=True)
        source = tf.range(longest) - (longest - lengths)
        moved = tf.gather(padded, tf.maximum(source, 0), batch_dims=2)
        return cls(tf.where(source >= 0, moved, -1), tf.fill([tf.shape(padded)[0], longest], -1))

    def followed_by(self, units: tf.Tensor) -> tuple["_Recent", tf.Tensor]:
        """Appends the units of an id to each row, int32 [batch, size], padded with -1 at the right.

        Returns:
            The last units now, and the number of units that follow the first stop sequence that ends among the new
            ones, int32 [batch]; -1 without one.
        """
        size, longest = units.shape[1], tf.shape(self.units)[1]
        number = tf.reduce_sum(tf.cast(units >= 0, tf.int32), axis=1)
        joined = tf.concat([self.units, units], axis=1)
        # The last units after each new one, [batch, size, longest].
        ends = tf.range(1, size + 1)
        windows = tf.gather(joined, ends[:, None] + tf.range(longest), axis=1)
        counts = self.stop >= 0
        same = ~counts[:, None] | tf.equal(self.stop[:, None], windows[:, :, None])
        found = tf.reduce_any(tf.reduce_all(same, axis=3) & tf.reduce_any(counts, axis=2)[:, None], axis=2)
        found &= ends <= number[:, None]
        first = tf.reduce_min(tf.where(found, ends, size + 1), axis=1)
        after = tf.where(first <= size, number - first, -1)
        moved = tf.gather(joined, number[:, None] + tf.range(longest), axis=1, batch_dims=1)
        return _Recent(self.stop, tf.ensure_shape(moved, self.units.shape)), after


def _shifted_right(numbers: tf.Tensor, bits: int) -> tf.Tensor:
    """Shifts unsigned numbers; TensorFlow shifts int64 as signed numbers."""
    return tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(numbers, tf.cast(bits, tf.int64)), 2 ** (64 - bits) - 1
    )


def _mixed(numbers: tf.Tensor) -> tf.Tensor:
    numbers = tf.bitwise.bitwise_xor(numbers, _shifted_right(numbers, 30)) * _MIX_1
    numbers = tf.bitwise.bitwise_xor(numbers, _shifted_right(numbers, 27)) * _MIX_2
    return tf.bitwise.bitwise_xor(numbers, _shifted_right(numbers, 31))
