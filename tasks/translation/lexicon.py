"""Which target tokens each source token is translated with, by the attention of the trained model."""

from collections import Counter

import numpy as np
import tensorflow as tf

from ...common.progress_bar import ProgressBar
from ...models.blocks.losses import shifted
from ...models.blocks.traced import traced_per_model
from ...models.text import PADDING
from ...models.translation import Translator
from ...models.writing.shortlist import Shortlist
from .data import TranslationData

# Enough pairs to know the translations of all but rare tokens.
_PAIRS = 100_000
# Tokens that any sentence may need: articles, endings, punctuation.
_FREQUENT = 200


def learn_shortlist(model: Translator, data: TranslationData, size: int) -> Shortlist | None:
    """Aligns training pairs by the model's attention, and returns the `size` most frequent partners of each source
    token as a shortlist; None if `size` is 0."""
    if not size:
        return None
    total = min(_PAIRS, data.train_examples)
    partners: Counter[int] = Counter()
    frequencies = np.zeros(data.sizes.target_tokens, np.int64)
    seen = 0
    with ProgressBar("aligning the training part", "sentences", total) as bar:
        for batch in data.sequences():
            pairs, counts = np.unique(_aligned(model, batch["source"], batch["target"]), return_counts=True)
            partners.update(dict(zip(pairs.tolist(), counts.tolist(), strict=True)))
            targets = batch["target"].numpy()
            frequencies += np.bincount(targets[targets != PADDING], minlength=len(frequencies))
            bar.update(len(targets))
            seen += len(targets)
            if seen >= total:
                break
    translations = np.zeros([data.sizes.source_tokens, size], np.int32)
    found = np.zeros(len(translations), int)
    for pair, _ in partners.most_common():
        source, target = divmod(pair, len(frequencies))
        if found[source] < size:
            translations[source, found[source]] = target
            found[source] += 1
    frequent = np.argsort(-frequencies, kind="stable")[:_FREQUENT]
    return Shortlist(translations, frequent, len(frequencies))


@traced_per_model
def _aligned(model: Translator, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Returns source id * number of target ids + target id for each target token and the source token that it attends
    to most: int64 [tokens]."""
    inputs, targets = shifted(target)
    weights = model.attention(source, inputs)
    sources = tf.gather(source, tf.argmax(weights, axis=2), batch_dims=1)
    pairs = tf.cast(sources, tf.int64) * model.target_vocabulary_size + tf.cast(targets, tf.int64)
    return tf.boolean_mask(pairs, targets != PADDING)
