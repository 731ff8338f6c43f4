"""Training on what a model writes itself: rewards for whole texts, and the loss that raises them."""

from collections.abc import Iterator

import tensorflow as tf

from ..text import PADDING

# Of BLEU.
_LONGEST_NGRAM = 4


def sentence_bleu(hypotheses: tf.Tensor, references: tf.Tensor) -> tf.Tensor:
    """The mean of BLEU-1 to BLEU-4 of each text alone (Papineni et al., 2002, https://aclanthology.org/P02-1040).

    From bigrams on, one is added to the counts, so that a text without a common n-gram still has a score (Lin and Och,
    2004, https://aclanthology.org/C04-1072). The brevity penalty is by the reference whose length is the nearest.

    Args:
        hypotheses: int32 [groups, texts, time], zeros for padding.
        references: int32 [groups, references, time] of all texts of a group, zeros for padding; those that are all
            padding do not count, and one at least has an id.

    Returns:
        float32 [groups, texts], 0 to 1.
    """
    lengths, wanted = (tf.math.count_nonzero(ids, axis=2, dtype=tf.int32) for ids in (hypotheses, references))
    # Of two that are as near, the shorter one.
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
    """The loss of texts that were drawn from the model's own distribution, 1 - reward, with a gradient that makes those
    more probable that were better than the others of the same group (REINFORCE; Rennie et al., 2017,
    https://arxiv.org/abs/1612.00563, with the baseline of Kool et al., 2019,
    https://openreview.net/forum?id=r1lgTGL5DE: the mean reward of the others).

    Args:
        rewards: float32 [groups, texts], two texts a group at least.
        losses: float32 [groups, texts], the negative log probability of each text, which is differentiated.

    Returns:
        float32 [groups, texts].
    """
    texts = tf.cast(tf.shape(rewards)[1], tf.float32)
    advantages = (rewards - tf.reduce_mean(rewards, axis=1, keepdims=True)) * texts / (texts - 1)
    surrogate = tf.stop_gradient(advantages) * losses
    return tf.stop_gradient(1 - rewards - surrogate) + surrogate


def _matches(hypotheses: tf.Tensor, references: tf.Tensor) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """For each length of n-grams, how many of a hypothesis are in a reference, each as often as it is there at most,
    and how many there are; float32 [groups, texts]."""
    real = hypotheses != PADDING
    # Which ids are the same as one of a reference, [groups, texts, references, time, time], or of the text itself.
    in_reference = tf.equal(hypotheses[:, :, None, :, None], references[:, None, :, None])
    in_text = tf.equal(hypotheses[..., None], hypotheses[:, :, None])
    there, same, repeated = real, in_reference, in_text
    for n in range(1, _LONGEST_NGRAM + 1):
        if n > 1:
            # An n-gram is the shorter one that begins with it, and an id more.
            there = there[..., :-1] & real[..., n - 1 :]
            same = same[..., :-1, :-1] & in_reference[..., n - 1 :, n - 1 :]
            repeated = repeated[..., :-1, :-1] & in_text[..., n - 1 :, n - 1 :]
        available = tf.reduce_max(tf.math.count_nonzero(same, axis=4, dtype=tf.int32), axis=2)
        places = tf.range(tf.shape(there)[2])
        earlier = tf.math.count_nonzero(repeated & (places < places[:, None]), axis=3, dtype=tf.int32)
        found = there & (earlier < available)
        yield tuple(tf.math.count_nonzero(which, axis=2, dtype=tf.float32) for which in (found, there))
