"""Text to ids, as one object that is learnt, saved with the run, and exported with the model."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from .tokenizers import TOKENIZERS
from .vocabulary import PADDING, Vocabulary


def pad(ids: tf.RaggedTensor) -> tf.Tensor:
    """int32 [batch, (time)] -> int32 [batch, time], right-padded with zeros; time is at least 1."""
    return at_least_one_step(ids.to_tensor(PADDING))


def at_least_one_step(ids: tf.Tensor) -> tf.Tensor:
    """[batch, time] with a time of zero, of empty texts alone, zero-padded to one; any other as it is."""
    return tf.pad(ids, [[0, 0], [0, tf.maximum(0, 1 - tf.shape(ids)[1])]])


class TextEncoder(tf.Module):
    """string [batch] -> int32 [batch, time], right-padded with zeros.

    Args:
        tokenizer: a name in `TOKENIZERS`.
        vocabulary: the tokens known.
        max_length: longer texts are cut after so many tokens.
    """

    def __init__(self, tokenizer: str, vocabulary: Vocabulary, max_length: int) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.max_length = max_length
        # Held here, or the table is missing from the SavedModel.
        self._table = vocabulary.table

    @classmethod
    def learn(
        cls,
        batches: Iterable[Sequence[bytes]],
        tokenizer: str,
        max_length: int,
        max_size: int,
        min_count: int,
    ) -> "TextEncoder":
        """An encoder with the most frequent tokens of some texts.

        Args:
            batches: of UTF-8 texts.
            tokenizer, max_length: as for the class.
            max_size, min_count: as for `Vocabulary.learn`.
        """
        split = tf.function(
            lambda texts: tf.unique_with_counts(TOKENIZERS[tokenizer](texts)[:, :max_length].flat_values),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )
        counts: Counter[str] = Counter()
        for batch in batches:
            tokens, _, numbers = split(tf.constant(batch))
            counts.update(dict(zip(map(bytes.decode, tokens.numpy()), numbers.numpy().tolist(), strict=True)))
        return cls(tokenizer, Vocabulary.learn(counts, max_size, min_count), max_length)

    def ragged(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> ragged int32 [batch, (time)]."""
        return self.vocabulary.ids(TOKENIZERS[self.tokenizer](texts)[:, : self.max_length])

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """string [batch] -> int32 [batch, time]; time is at least 1, also where all texts are empty."""
        return pad(self.ragged(texts))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes the same encoder of; JSON, with the tokens in it."""
        return {
            "tokenizer": self.tokenizer,
            "max_length": self.max_length,
            "tokens": list(self.vocabulary.tokens),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TextEncoder":
        return cls(config["tokenizer"], Vocabulary(config["tokens"]), config["max_length"])
