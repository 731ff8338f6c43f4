"""Words and subwords of running text: pieces that join to the text, for language models."""

import json

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.text import UNKNOWN, CharacterCodec, RunningTextCodec, TextCounter
from unroll.models.text.running_text import chunks_of_text

TEXTS = [
    "The dog's\nhere.  It cost 12 €, «ça»!\n\n\tdef f(x):\n    return x_1\r\n",
    "",
    "漢字abc漢 ab, कि नमस्ते",
    "naïve  x ",
    "don't 'quote' \u2581 a\u00a0b e\u0301 \x1f"[:-1],
]


def learnt(tokenizer, texts=(), size=200):
    encoded = [text.encode() for text in [*TEXTS, *texts]]
    return RunningTextCodec.learn([encoded], tokenizer=tokenizer, max_size=size)


def pieces(codec, text):
    (ids,) = codec.encode(tf.constant([text])).numpy()
    return [codec.tokens[number].decode() for number in ids]


@pytest.mark.parametrize("tokenizer", RunningTextCodec.tokenizers)
def test_tokens_join_to_the_text(tokenizer):
    codec = learnt(tokenizer)
    ids = codec.encode(tf.constant(TEXTS))
    assert UNKNOWN not in ids.flat_values.numpy()[: ids.row_lengths()[0]]
    assert [text.decode() for text in codec.decode(ids.to_tensor()).numpy()] == TEXTS
    again = RunningTextCodec.from_config(json.loads(json.dumps(codec.get_config())))
    assert again.encode(tf.constant(TEXTS)).to_list() == ids.to_list()


def test_words_have_the_space_before_them():
    found = pieces(learnt("words"), TEXTS[0])
    assert found[:12] == ["The", " dog's", "\n", "here", ".", "  ", "It", " cost", " 1", "2", " €", ","]
    assert pieces(learnt("words"), TEXTS[2])[:5] == ["漢", "字", "abc", "漢", " ab"]


def test_subwords_are_learnt_from_the_text():
    text = "the weather, the feather and the leather\n" * 5
    codec = RunningTextCodec.learn([[text.encode()]], tokenizer="subwords", max_size=40)
    assert len(codec) <= 40
    assert " the" in pieces(codec, text)
    assert len(pieces(codec, text)) < len(text) / 3


@pytest.mark.parametrize("tokenizer", RunningTextCodec.tokenizers)
def test_each_token_reads_as_itself(tokenizer):
    """Streaming sends a token back to the model as text."""
    codec = learnt(tokenizer, ["the weather, the feather and the leather\n" * 5])
    assert codec.encode(tf.constant(codec.tokens[2:])).to_list() == [
        [number] for number in range(2, len(codec))
    ]


@pytest.mark.parametrize("tokenizer", RunningTextCodec.tokenizers)
def test_a_long_text_is_encoded_in_pieces_as_a_whole(tokenizer, rng):
    words = ["hello", "wor", " ", "  ld", "\n", "a b", ", ", "'s"]
    text = "".join(rng.choice(words, 60_000))
    codec = learnt(tokenizer, [text[:200]])
    symbols = np.frombuffer(text.encode("utf-32-le"), "<i4")
    read = np.concatenate([*codec.encode_pieces([symbols[:1001], symbols[1001:]])])
    assert read.tolist() == codec.encode(tf.constant([text])).flat_values.numpy().tolist()
    assert b"".join(chunks_of_text([symbols])) == text.encode()


@pytest.mark.parametrize("tokenizer", ["words", "subwords", "characters"])
def test_characters_and_words_are_counted_whatever_the_tokens(tokenizer):
    codec = CharacterCodec(tokenizer, "abc de\n") if tokenizer == "characters" else learnt(tokenizer)
    text = "abc  de\nab"
    (ids,) = codec.encode(tf.constant([text])).numpy()
    counter, window = TextCounter(codec), np.array([[0, *ids]])
    if codec.tokenizer != "words":
        assert counter.characters(window[:, 1:]) == len(text)
    assert counter.words(window) == 3
    # Windows that overlap by an id have the words of the whole.
    assert counter.words(window[:, :3]) + counter.words(window[:, 2:]) == 3
