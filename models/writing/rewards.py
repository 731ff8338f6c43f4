"""Self-critical training: rewards of texts drawn from the model, and the loss that raises them."""

from collections.abc import Iterator

import tensorflow as tf

from ..text import PADDING

# BLEU-4 counts n-grams up to this length.
_LONGEST_NGRAM = 4


def sentence_bleu(hypotheses: tf.Tensor, references: tf.Tensor) -> tf.Tensor:
    """Returns the mean of BLEU-1 to BLEU-4 of each text (Papineni et al., 2002, https://aclanthology.org/P02-1040).

    From bigrams on, 1 is added to the counts, so that a text without a matching n-gram still has a score (Lin and Och,
    2004, https://aclanthology.org/C04-1072). The brevity penalty uses the reference of the closest length.

    Args:
        hypotheses: int32 [groups, texts, time], zeros for padding.
        references: int32 [groups, references, time], shared by all texts of a group, zeros for padding. Empty
            references are ignored; at least one is not empty.

    Returns:
        float32 [groups, texts], 0 to 1.
    """
    lengths, wanted = (tf.math.count_nonzero(ids, axis=2, dtype=tf.int32) for ids in (hypotheses, references))
    # In a tie, the shorter reference.
    longer = wanted[:, None] - lengths[..., None]
    distances = 2 * tf.abs(longer) + tf.cast(longer > 0, tf.int32)
    distances = tf.where(wanted[:, None] > 0, distances, distances.dtype.max)
    nearest = tf.gather(wanted, tf.argmin(distances, axis=2), batch_dims=1)
    missing = tf.cast(nearest, tf.float32) / tf.maximum(tf.cast(lengths, tf.float32), 1e-3) - 1
    brevity = tf.exp(-tf.maximum(missing, 0))

    scores, log_precisions = [], tf.zeros(tf.shape(lengths))
    for n, (found, count) in enumerate(_matches(hypotheses, references), start=1):
        added = float(n > 1)
        precision = (found + added) / tf.maximum(count + added, 1)
        log_precisions += tf.math.log(tf.maximum(precision, 1e-6))
        scores.append(brevity * tf.exp(log_precisions / n))
    return tf.add_n(scores) / len(scores)


def rewarded(rewards: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
    """Returns 1 - reward of each drawn text, with the gradient of REINFORCE.

    The gradient raises the probability of texts with a better reward than the others of their group (Rennie et al.,
    2017, https://arxiv.org/abs/1612.00563), with the mean reward of the others as the baseline (Kool et al., 2019,
    https://openreview.net/forum?id=r1lgTGL5DE).

    Args:
        rewards: float32 [groups, texts], at least two texts in a group.
        losses: float32 [groups, texts], the differentiable negative log probability of each text.

    Returns:
        float32 [groups, texts].
    """
    texts = tf.cast(tf.shape(rewards)[1], tf.float32)
    advantages = (rewards - tf.reduce_mean(rewards, axis=1, keepdims=True)) * texts / (texts - 1)
    surrogate = tf.stop_gradient(advantages) * losses
    return tf.stop_gradient(1 - rewards - surrogate) + surrogate


def _matches(hypotheses: tf.Tensor, references: tf.Tensor) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields the numbers of matching (clipped) and of all n-grams of each hypothesis, float32 [groups, texts], for n
    from 1 to 4."""
    real = hypotheses != PADDING
    # Equal ids in text and reference, [groups, texts, references, time, time], and within the text.
    in_reference = tf.equal(hypotheses[:, :, None, :, None], references[:, None, :, None])
    in_text = tf.equal(hypotheses[..., None], hypotheses[:, :, None])
    there, same, repeated = real, in_reference, in_text
    for n in range(1, _LONGEST_NGRAM + 1):
        if n > 1:
            # An n-gram is an (n-1)-gram followed by one more id.
            there = there[..., :-1] & real[..., n - 1 :]
            same = same[..., :-1, :-1] & in_reference[..., n - 1 :, n - 1 :]
            repeated = repeated[..., :-1, :-1] & in_text[..., n - 1 :, n - 1 :]
        available = tf.reduce_max(tf.math.count_nonzero(same, axis=4, dtype=tf.int32), axis=2)
        positions = tf.range(tf.shape(there)[2])
        earlier = tf.math.count_nonzero(repeated & (positions < positions[:, None]), axis=3, dtype=tf.int32)
        found = there & (earlier < available)
        yield tuple(tf.math.count_nonzero(which, axis=2, dtype=tf.float32) for which in (found, there))
