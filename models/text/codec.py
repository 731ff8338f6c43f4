"""The base class of codecs: counts and ranks tokens, and converts text to ids and back."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import tensorflow as tf

from .ids import UNKNOWN, at_least_one_step, pad

# Stands for a space in the tokens of `SubwordCodec`.
SPACE = "\u2581"
# Stands for an unknown token.
REPLACEMENT = "\ufffd"


def most_frequent(counts: Mapping[str, int], size: int | None, min_count: int) -> list[str]:
    """Returns the most frequent tokens, those of equal frequency in alphabetical order.

    Args:
        counts: Occurrences of each token.
        size: Maximum number of tokens; None for all.
        min_count: Minimum occurrences of a token.
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [token for token, count in ranked[:size] if count >= min_count]


class Tokenizer(NamedTuple):
    """A way to split text, and to choose a vocabulary.

    Attributes:
        split: Text to tokens, string [batch] -> string [batch, (tokens)].
        choose: (counts of tokens, maximum size, minimum count) -> vocabulary in the order of ids.
        pieces: Whether the vocabulary holds pieces of the tokens, so that each token is split further.
        charset: Encoding of the tokens in a graph.
    """

    split: Callable[[tf.Tensor], tf.RaggedTensor]
    choose: Callable[[Mapping[str, int], int | None, int], list[str]] = most_frequent
    pieces: bool = False
    charset: str = "utf-8"


class Codec(tf.Module):
    """Text to ids and back. It is learnt from text, saved with a run and exported with its model.

    Ids: the special tokens come first, 0 for padding and 1 for any unknown token; the vocabulary follows.

    A new tokenizer needs a line in `tokenizers` of a codec, and a file if it is long.

    Args:
        tokenizer: Name of the tokenizer, a key of `tokenizers`.
        vocabulary: Known tokens in the order of their ids, without the special ones.
        max_length: Maximum number of ids of a text, which is cut after them; None for no limit.
    """

    tokenizers: ClassVar[Mapping[str, Tokenizer]]
    special: ClassVar[tuple[str, ...]] = ("", REPLACEMENT)

    def __init__(self, tokenizer: str, vocabulary: Iterable[str], max_length: int | None = None) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.vocabulary = tuple(vocabulary)
        self.max_length = max_length
        # Outside of any graph. An attribute, since the SavedModel would lack a table that is not tracked.
        with tf.init_scope():
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    # A table needs at least one entry, also for an empty vocabulary; the empty string is never a token.
                    tf.constant([b"", *self._vocabulary_bytes]),
                    tf.constant([UNKNOWN, *range(len(self.special), len(self))], tf.int32),
                ),
                default_value=UNKNOWN,
            )

    @classmethod
    def learn(
        cls,
        batches: Iterable[Sequence[bytes]],
        *,
        tokenizer: str,
        max_size: int | None = None,
        min_count: int = 1,
        max_length: int | None = None,
    ) -> Self:
        """Returns a codec with the vocabulary of some texts.

        Args:
            batches: Batches of texts in UTF-8.
            tokenizer: As for the class.
            max_size: Maximum number of ids, those of the special tokens included; None for no limit.
            min_count: Minimum occurrences of a token.
            max_length: As for the class.
        """
        count = tf.function(
            lambda texts: tf.unique_with_counts(cls._counted(texts, tokenizer, max_length).flat_values),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        charset = cls.tokenizers[tokenizer].charset
        totals: Counter[str] = Counter()
        for batch in batches:
            tokens, _, counts = count(tf.constant(batch, tf.string))
            strings = (token.decode(charset) for token in tokens.numpy())
            totals.update(dict(zip(strings, counts.numpy().tolist(), strict=True)))
        return cls.from_counts(
            totals, tokenizer=tokenizer, max_size=max_size, min_count=min_count, max_length=max_length
        )

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        *,
        tokenizer: str,
        max_size: int | None = None,
        min_count: int = 1,
        max_length: int | None = None,
    ) -> Self:
        """Does the work of `learn` for tokens that are counted already.

        Args:
            counts: Occurrences of each token that the tokenizer splits text into.
            tokenizer, max_size, min_count, max_length: As for `learn`.
        """
        size = None if max_size is None else max(0, max_size - len(cls.special))
        vocabulary = cls.tokenizers[tokenizer].choose(counts, size, min_count)
        return cls(tokenizer, vocabulary, max_length)

    def __len__(self) -> int:
        """Returns the number of ids."""
        return len(self.special) + len(self.vocabulary)

    @property
    def tokens(self) -> list[bytes]:
        """The token of each id."""
        return [*(token.encode() for token in self.special), *self._vocabulary_bytes]

    def encode(self, texts: tf.Tensor, *, max_length: int | None = None) -> tf.RaggedTensor:
        """Turns text into ids: string [batch] -> int32 [batch, (time)].

        Args:
            texts: string [batch].
            max_length: Maximum number of ids instead of the codec's own.
        """
        tokens = self.tokenizers[self.tokenizer].split(texts)
        return self._ids(tokens, self.max_length if max_length is None else max_length)

    def encode_padded(self, texts: tf.Tensor) -> tf.Tensor:
        """Turns text into zero-padded ids: string [batch] -> int32 [batch, time], where time is at least 1."""
        return pad(self.encode(texts))

    def encode_cut(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Does the work of `encode_padded`; also returns whether each text was cut, bool [batch]."""
        if self.max_length is None:
            return self.encode_padded(texts), tf.zeros(tf.shape(texts), tf.bool)
        ids = self.encode(texts, max_length=self.max_length + 1)
        return pad(ids[:, : self.max_length]), ids.row_lengths() > self.max_length

    def split_padded(self, texts: tf.Tensor) -> tf.Tensor:
        """Splits text into the tokens of `encode_padded`, known or not: string [batch] -> string [batch, time], with ""
        for padding."""
        tokens = self._split(texts)[:, : self.max_length]
        return at_least_one_step(tokens.to_tensor(""))

    def legible(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns whether ids are known tokens other than spaces: int32 [...] -> bool [...]."""
        known = self.tokens[len(self.special) :]
        shown = [token.decode("utf-8", "replace").strip(f"{SPACE} ") != "" for token in known]
        return tf.gather(tf.constant([False] * len(self.special) + shown), ids)

    def decode(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.Tensor:
        """Turns ids into text without special tokens, but for the unknown one: int32 [..., time] -> string [...].

        Args:
            ids: int32 [..., time].
            unknown: What stands where a token is unknown, string [..., time]; None: the replacement character.
        """
        shown = ["", REPLACEMENT, *[""] * (len(self.special) - 2)]
        strings = tf.constant([*(token.encode() for token in shown), *self._vocabulary_bytes])
        tokens = tf.gather(strings, ids)
        return self._join(tokens if unknown is None else tf.where(ids == UNKNOWN, unknown, tokens))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as JSON, for `from_config`."""
        return {
            "tokenizer": self.tokenizer,
            "vocabulary": list(self.vocabulary),
            "max_length": self.max_length,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Returns the codec that `get_config` describes."""
        return cls(**config)

    @classmethod
    def _counted(cls, texts: tf.Tensor, tokenizer: str, max_length: int | None) -> tf.RaggedTensor:
        """Returns the tokens that `learn` counts."""
        return cls.tokenizers[tokenizer].split(texts)

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Splits text into the tokens that have ids: string [batch] -> string [batch, (time)]."""
        return self.tokenizers[self.tokenizer].split(texts)

    def _ids(self, tokens: tf.RaggedTensor, max_length: int | None) -> tf.RaggedTensor:
        return tf.ragged.map_flat_values(self._table.lookup, tokens[:, :max_length])

    def _join(self, tokens: tf.Tensor) -> tf.Tensor:
        """Joins tokens to text: string [..., time] -> string [...]."""
        return tf.strings.reduce_join(tokens, axis=-1)

    @property
    def _vocabulary_bytes(self) -> list[bytes]:
        charset = self.tokenizers[self.tokenizer].charset
        return [token.encode(charset) for token in self.vocabulary]
