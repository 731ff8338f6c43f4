"""Characters and bytes to ids and back, in the graph and in NumPy."""

import json
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.text import BOUNDARY, UNKNOWN, CharacterCodec

TEXTS = [
    "A plain line.",
    "",
    "Amélie said naïve things; cafe\u0301 too.",
    "👍🏽 👨‍👩‍👧 \U0010ffff",
    "\0 between \0\0",
    "one\ntwo\r\nthree\rfour\tfive\x0b\x0c\x1b",
    "<br /> <a href='x'>kept</a> &amp;",
    "我爱你 Привет नमस्ते \u3000\u00a0\u2028",
    "\ufeffmark \ufffd replaced",
    "  spaces   kept  ",
]
NOT_UTF8 = [
    b"\xff\xfe broken \xc3( bytes",
    b"over\xc0\xaflong",
    b"surrogate \xed\xa0\x80x \xed\xb0\x80",
    b"too \xf4\x90\x80\x80 high, \xf8\x88\x80\x80\x80 too long",
    b"cut \xe6\x88",
    b"cut \xf0\x9f\x91\xe6\x88\x91",
    b"\x80",
]


def code_points(text):
    """Code points of a str, or of bytes with invalid UTF-8 replaced."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return np.array([ord(character) for character in text], np.int32)


def counts_of(*texts):
    return Counter(chr(number) for text in texts for number in code_points(text))


def characters(*texts, min_count=1):
    return CharacterCodec.from_counts(counts_of(*texts), tokenizer="characters", min_count=min_count)


def all_bytes():
    return CharacterCodec.from_counts({}, tokenizer="bytes")


def written(codec, ids):
    """The text of the ids of one row."""
    return codec.decode(tf.constant([ids], tf.int32, shape=[1, len(ids)])).numpy()[0]


@pytest.mark.parametrize("known", ["all", "few"])
def test_ids_in_the_graph_are_those_of_numpy(known):
    codec = characters(*TEXTS) if known == "all" else characters("aeiou\n\0é👍")
    rows = codec.encode(tf.constant(TEXTS)).to_list()
    for text, row in zip(TEXTS, rows, strict=True):
        assert row == codec.encode_symbols(code_points(text)).tolist()
    unknown = sum(row.count(UNKNOWN) for row in rows)
    assert (unknown > 0) == (known == "few")


@pytest.mark.parametrize("text", NOT_UTF8)
def test_bytes_that_are_not_utf8_are_the_same_in_the_graph_and_in_numpy(text):
    ids = characters(*TEXTS, "()").encode(tf.constant([text])).to_list()[0]
    assert ids == characters(*TEXTS, "()").encode_symbols(code_points(text)).tolist()
    # Where U+FFFD does not occur in the training text, it is as unknown as any other character.
    replaced = characters(" (,abcdefghijklmnopqrstuvwxyz我").encode(tf.constant([text])).to_list()[0]
    assert replaced.count(UNKNOWN) == text.decode("utf-8", "replace").count("\ufffd") > 0


def test_random_bytes_are_the_same_in_the_graph_and_in_numpy(rng):
    # Lead and continuation bytes of UTF-8, so that most sequences are nearly valid.
    bytes_ = np.frombuffer(b"a\x7f\x80\x8f\xa0\xbf\xc0\xc2\xc3\xe0\xe6\xed\xef\xf0\xf4\xf5\xff", np.uint8)
    texts = [rng.choice(bytes_, size=rng.integers(1, 9)).tobytes() for _ in range(500)]
    symbols = [code_points(text) for text in texts]
    codec = CharacterCodec("characters", map(chr, np.unique(np.concatenate(symbols))))
    rows = codec.encode(tf.constant(texts)).to_list()
    assert rows == [codec.encode_symbols(row).tolist() for row in symbols]


def test_text_comes_back_from_its_ids():
    codec = characters(*TEXTS)
    ids = codec.encode(tf.constant(TEXTS)).to_tensor(BOUNDARY)
    assert [text.decode() for text in codec.decode(ids).numpy()] == TEXTS


@pytest.mark.parametrize("texts", [TEXTS, NOT_UTF8, [bytes(range(256))]])
def test_bytes_come_back_whatever_they_are(texts):
    codec = all_bytes()
    texts = [text.encode() if isinstance(text, str) else text for text in texts]
    ids = codec.encode(tf.constant(texts))
    for text, row in zip(texts, ids.to_list(), strict=True):
        assert row == [byte + 2 for byte in text]
        assert row == codec.encode_symbols(np.frombuffer(text, np.uint8)).tolist()
    assert codec.decode(ids.to_tensor(BOUNDARY)).numpy().tolist() == texts


def test_unknown_characters_have_one_id_and_are_written_as_the_replacement():
    codec = characters("bd")
    ids = codec.encode(tf.constant(["abcde", "d\U0010ffff\0"])).to_list()
    assert ids == [[UNKNOWN, 2, UNKNOWN, 3, UNKNOWN], [3, UNKNOWN, UNKNOWN]]
    assert written(codec, ids[0]).decode() == "\ufffdb\ufffdd\ufffd"


def test_boundaries_are_written_as_nothing_wherever_they_stand():
    codec = characters("ab")
    assert written(codec, [BOUNDARY, 2, BOUNDARY, 3, BOUNDARY, BOUNDARY]) == b"ab"
    assert written(codec, []) == b""


@pytest.mark.parametrize("unit", CharacterCodec.tokenizers)
@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_has_no_ids(unit, texts):
    codec = all_bytes() if unit == "bytes" else characters("a")
    ids = codec.encode(tf.constant(texts, tf.string))
    assert ids.dtype == tf.int32
    assert ids.to_list() == [[] for _ in texts]
    assert codec.decode(ids.to_tensor(BOUNDARY)).numpy().tolist() == [b"" for _ in texts]


@pytest.mark.parametrize("unit", CharacterCodec.tokenizers)
def test_ids_begin_after_the_boundary_and_the_unknown_in_the_order_of_the_symbols(unit):
    codec = all_bytes() if unit == "bytes" else characters("zéa\n👍")
    assert codec.symbols.tolist() == (list(range(256)) if unit == "bytes" else sorted(map(ord, "zéa\n👍")))
    assert codec.encode_symbols(codec.symbols).tolist() == list(range(2, len(codec)))
    assert len(codec.tokens) == len(codec)
    assert codec.tokens[BOUNDARY] == b""
    expected = bytes([97]) if unit == "bytes" else "👍".encode()
    assert codec.tokens[99 if unit == "bytes" else 6] == expected


def test_ids_of_numpy_keep_the_shape():
    ids = characters("ab").encode_symbols(np.array([[97, 98, 99], [0, 0x10FFFF, 98]]))
    assert ids.dtype == np.int32
    assert ids.tolist() == [[2, 3, 1], [1, 1, 3]]


@pytest.mark.parametrize(("min_count", "known"), [(1, "\nabcé"), (2, "abé"), (3, "aé"), (4, "a")])
def test_characters_are_known_that_occur_often_enough(min_count, known):
    codec = characters("aaaa", "bb\n", "éééc", min_count=min_count)
    assert "".join(codec.vocabulary) == known


def test_bytes_are_all_known_however_seldom_they_occur():
    codec = CharacterCodec.from_counts({"a": 1}, tokenizer="bytes", min_count=5)
    assert len(codec) == 258
    assert (codec.encode_symbols(np.arange(256)) > UNKNOWN).all()


@pytest.mark.parametrize("unit", CharacterCodec.tokenizers)
def test_codec_survives_json(unit):
    codec = all_bytes() if unit == "bytes" else characters(*TEXTS[:4])
    again = CharacterCodec.from_config(json.loads(json.dumps(codec.get_config())))
    assert again.get_config() == codec.get_config()
    assert again.tokens == codec.tokens
    assert again.encode(tf.constant(TEXTS)).to_list() == codec.encode(tf.constant(TEXTS)).to_list()


@pytest.mark.parametrize("unit", CharacterCodec.tokenizers)
def test_codec_is_traced_once_for_all_shapes(unit):
    codec = all_bytes() if unit == "bytes" else characters(*TEXTS)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def graph(texts):
        ids = codec.encode(texts)
        return ids, codec.decode(ids.to_tensor(BOUNDARY))

    for texts in (TEXTS, TEXTS[:1], [""], [], ["a much longer text than any before it " * 50]):
        ids, again = graph(tf.constant(texts, tf.string))
        assert ids.to_list() == codec.encode(tf.constant(texts, tf.string)).to_list()
        expected = [text.encode() if unit == "bytes" or text in TEXTS else None for text in texts]
        for text, wanted in zip(again.numpy().tolist(), expected, strict=True):
            assert wanted is None or text == wanted
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("unit", CharacterCodec.tokenizers)
def test_codec_is_exported_with_its_symbols(unit, tmp_path):
    module = tf.Module()
    codec = all_bytes() if unit == "bytes" else characters(*TEXTS)
    module.codec = codec
    module.encode = tf.function(
        lambda texts: codec.encode(texts).to_tensor(BOUNDARY),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    module.decode = tf.function(codec.decode, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    ids = loaded.encode(tf.constant(TEXTS))
    assert ids.numpy().tolist() == module.encode(tf.constant(TEXTS)).numpy().tolist()
    assert [text.decode() for text in loaded.decode(ids).numpy()] == TEXTS
