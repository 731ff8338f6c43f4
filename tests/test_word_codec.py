"""Text to ids: cleaning, the tokenizers, the vocabulary, and the codec made of them."""

import json
from collections import Counter

import pytest
import tensorflow as tf

from unroll.models.text import PADDING, UNKNOWN, WordCodec, pad

TEXTS = [
    b"A film that isn't bad.",
    b"",
    b"<br />",
    b"\xff\xfe broken \xc3( bytes",
    "Amélie \u2014 naïve, 我爱你!".encode(),
    b"nothing known here at all, nothing",
]


def split(tokenizer, text):
    """The tokens of one text, str or bytes."""
    text = text.encode() if isinstance(text, str) else text
    return [
        token.decode() for token in WordCodec.tokenizers[tokenizer].split(tf.constant([text])).to_list()[0]
    ]


def make_codec(tokenizer="words", max_length=8):
    return WordCodec.learn([TEXTS[:5]], tokenizer=tokenizer, max_size=40, max_length=max_length)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It isn't bad -- <br />REALLY!", "it isn't bad - - really !"),
        ("one<br /><br/>two<BR>three</p>", "one two three"),
        ('see <a href="http://x.y/z?q=1">this link</a>.', "see this link ."),
        ("3 < 4 > 2", "3 < 4 > 2"),
        ("x<y, I <3 it <br", "x < y , i < 3 it < br"),
        ("a tag <b\nclass='x'>over lines</b>", "a tag over lines"),
        (f"<a{'b' * 300}>", f"< a{'b' * 300} >"),
    ],
)
def test_words_drop_markup_and_leave_comparisons(text, tokens):
    assert split("words", text) == tokens.split()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("don't don\u2019t", "don't don't"),
        ("l'été aujourd\u2019hui", "l'été aujourd'hui"),
        ("rock'n'roll a'b'c'd'e", "rock'n'roll a'b'c'd'e"),
        ("cafe\u0301's", "cafe\u0301's"),
        ("'quoted' dogs' 'tis", "' quoted ' dogs ' ' tis"),
        ("\u2018quoted\u2019 o''b", "\u2018 quoted ' o ' ' b"),
        ("1980's", "1980 ' s"),
    ],
)
def test_words_keep_an_apostrophe_only_between_letters(text, tokens):
    assert split("words", text) == tokens.split()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ÉCOLE ÄÖÜ ЖУК ΩMEGA", "école äöü жук ωmega"),
        ("cafe\u0301 naïve", "cafe\u0301 naïve"),
        ("我爱abc中def", "我 爱 abc 中 def"),
        ("ひらカナ 한국어 \U0002000b", "ひ ら カ ナ 한국어 \U0002000b"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("كِتَابٌ جَدِيدٌ، \u0bae\u0bb0\u0bae\u0bcd", "كِتَابٌ جَدِيدٌ ، \u0bae\u0bb0\u0bae\u0bcd"),
        ("می\u200cخواهم بروم", "می\u200cخواهم بروم"),
        ("ผมกินข้าว ครับ", "ผ ม กิ น ข้ า ว ค รั บ"),
        ("コーヒーを3杯", "コ ー ヒ ー を 3 杯"),
        ("1,234.5 B2B e-mail...", "1 , 234 . 5 b2b e - mail . . ."),
        ("good👍🏽\u20ac5", "good 👍 🏽 \u20ac 5"),
    ],
)
def test_words_of_many_scripts(text, tokens):
    assert split("words", text) == tokens.split()


@pytest.mark.parametrize("space", ["\u00a0", "\u1680", "\u2009", "\u2028", "\u2029", "\u3000", " \t\u00a0 "])
def test_any_unicode_space_parts_words(space):
    assert split("words", f"{space}one{space}two") == ["one", "two"]


@pytest.mark.parametrize("control", ["\0", "\1", "\t", "\n", "\r\n", "\x1b", "\x7f", "\x80", "\x85", "\x9f"])
def test_control_characters_are_spaces(control):
    assert split("words", f"one{control}two") == ["one", "two"]
    assert split("characters", f"a{control}b") == ["a", *" " * len(control), "b"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (b"\xff\xfeabc d\xe9f \xc3", "abc d f"),
        (b"over\xc0\xaflong", "over long"),
        (b"surrogate \xed\xa0\x80x", "surrogate x"),
        (b"too \xf4\x90\x80\x80 high", "too high"),
        (b"cut \xe6\x88", "cut"),
    ],
)
def test_bytes_that_are_not_utf8_are_spaces(text, tokens):
    assert split("words", text) == tokens.split()
    assert split("characters", text)[-1] == (tokens[-1] if text[-1] < 128 else " ")


@pytest.mark.parametrize("text", ["", " ", "\n\0\t", "<br />", "\u3000"])
def test_words_of_nothing(text):
    assert split("words", text) == []


def test_characters_keep_case_spaces_and_code_points():
    assert split("characters", "Ab  é e\u0301中👍") == list("Ab  é e\u0301中👍")
    assert split("characters", "") == []
    assert split("characters", "a<br />b") == ["a", " ", "b"]


@pytest.mark.parametrize("tokenizer", WordCodec.tokenizers)
def test_tokenizers_take_a_batch_with_empty_rows(tokenizer):
    rows = WordCodec.tokenizers[tokenizer].split(tf.constant(["", "ab", ""])).to_list()
    assert [len(row) for row in rows] == [0, 1 if tokenizer == "words" else 2, 0]
    assert WordCodec.tokenizers[tokenizer].split(tf.constant([], tf.string)).to_list() == []


def of_counts(counts, **options):
    return WordCodec.from_counts(counts, tokenizer="words", **options)


COUNTS = Counter({"the": 9, "b": 3, "é": 3, "a": 3, "once": 1})


def test_vocabulary_ranks_by_count_then_by_code_point_whatever_the_order_of_counting():
    assert of_counts(COUNTS).vocabulary == ("the", "a", "b", "é", "once")
    turned_round = Counter(dict(reversed(COUNTS.items())))
    assert of_counts(turned_round).vocabulary == of_counts(COUNTS).vocabulary


@pytest.mark.parametrize(("max_size", "size"), [(0, 2), (2, 2), (3, 3), (5, 5), (7, 7), (100, 7), (None, 7)])
def test_vocabulary_size_counts_padding_and_the_unknown_token(max_size, size):
    codec = of_counts(COUNTS, max_size=max_size)
    assert len(codec) == len(codec.tokens) == size
    assert codec.vocabulary == ("the", "a", "b", "é", "once")[: size - 2]


@pytest.mark.parametrize(("min_count", "known"), [(1, 5), (2, 4), (3, 4), (4, 1), (10, 0)])
def test_vocabulary_holds_tokens_that_occur_often_enough(min_count, known):
    assert len(of_counts(COUNTS, min_count=min_count).vocabulary) == known


def test_vocabulary_ids():
    texts = tf.constant(["é the The x", "", "new the"])
    ids = WordCodec("words", ["the", "é"]).encode(texts)
    assert ids.dtype == tf.int32
    assert ids.to_list() == [[3, 2, 2, UNKNOWN], [], [UNKNOWN, 2]]
    assert WordCodec("words", []).encode(texts).to_list() == [[UNKNOWN] * 4, [], [UNKNOWN] * 2]


def test_pad_fills_at_the_right_and_leaves_at_least_one_step():
    assert pad(tf.ragged.constant([[5], [], [6, 7]])).numpy().tolist() == [[5, 0], [0, 0], [6, 7]]
    assert pad(tf.ragged.constant([[], []], tf.int32, ragged_rank=1)).numpy().tolist() == [[PADDING]] * 2
    assert pad(tf.ragged.constant([], tf.int32, ragged_rank=1)).shape == [0, 1]


def test_codec_cuts_pads_and_marks_the_unknown():
    codec = WordCodec("words", ["good", "film"], max_length=3)
    ids = codec.encode_padded(tf.constant(["Good film, good film", "film", "", "dull"]))
    assert ids.dtype == tf.int32
    assert ids.numpy().tolist() == [[2, 3, UNKNOWN], [3, 0, 0], [0, 0, 0], [UNKNOWN, 0, 0]]
    assert codec.encode(tf.constant(["Good film, good film", ""])).to_list() == [[2, 3, UNKNOWN], []]


def test_ids_give_the_words_back_but_not_the_text():
    codec = WordCodec("words", ["good", "film", "."])
    ids = codec.encode_padded(tf.constant(["Good  film.<br />Dull", "", "film"]))
    assert codec.decode(ids).numpy().tolist() == ["good film . \ufffd".encode(), b"", b"film"]
    characters = WordCodec("characters", ["a", " ", "b"])
    ids = characters.encode_padded(tf.constant(["a<i>b c", "b"]))
    assert characters.decode(ids).numpy().tolist() == ["a b \ufffd".encode(), b"b"]


@pytest.mark.parametrize("texts", [[""], ["", "<br />"], []])
def test_codec_gives_at_least_one_step(texts):
    ids = make_codec().encode_padded(tf.constant(texts, tf.string))
    assert ids.shape == [len(texts), 1]
    assert not ids.numpy().any()


@pytest.mark.parametrize("tokenizer", WordCodec.tokenizers)
def test_codec_survives_json(tokenizer):
    codec = make_codec(tokenizer)
    config = json.loads(json.dumps(codec.get_config()))
    again = WordCodec.from_config(config)
    assert again.get_config() == codec.get_config()
    ids = again.encode_padded(tf.constant(TEXTS))
    assert ids.numpy().tolist() == codec.encode_padded(tf.constant(TEXTS)).numpy().tolist()


@pytest.mark.parametrize("tokenizer", WordCodec.tokenizers)
def test_codec_is_traced_once_for_all_shapes(tokenizer):
    codec = make_codec(tokenizer)
    graph = tf.function(codec.encode_padded, input_signature=[tf.TensorSpec([None], tf.string)])
    for texts in (TEXTS, TEXTS[:1], [b""], [b"a much longer text than any before it " * 5]):
        assert (
            graph(tf.constant(texts)).numpy().tolist()
            == codec.encode_padded(tf.constant(texts)).numpy().tolist()
        )
    assert graph.experimental_get_tracing_count() == 1


def test_codec_made_inside_a_graph_still_looks_up():
    """The table lives outside the graph in which it is first asked for."""
    codecs = []

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def graph(texts):
        codecs.append(WordCodec("words", ["good"], 4))
        return codecs[-1].encode_padded(texts)

    assert graph(tf.constant(["good film"])).numpy().tolist() == [[2, UNKNOWN]]
    assert codecs[-1].encode_padded(tf.constant(["film good"])).numpy().tolist() == [[UNKNOWN, 2]]


def test_codec_is_exported_with_its_table(tmp_path):
    module = tf.Module()
    module.codec = make_codec()
    module.encode = tf.function(
        module.codec.encode_padded, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    ids = loaded.encode(tf.constant(TEXTS)).numpy()
    assert (ids > UNKNOWN).any()
    assert ids.tolist() == module.codec.encode_padded(tf.constant(TEXTS)).numpy().tolist()


@pytest.mark.parametrize("tokenizer", WordCodec.tokenizers)
def test_companions_in_the_batch_change_nothing(tokenizer):
    codec = make_codec(tokenizer)
    together = codec.encode_padded(tf.constant(TEXTS)).numpy()
    for text, row in zip(TEXTS, together, strict=True):
        alone = codec.encode_padded(tf.constant([text])).numpy()[0]
        assert row[: len(alone)].tolist() == alone.tolist()
        assert not row[len(alone) :].any()


@pytest.mark.parametrize("tokenizer", WordCodec.tokenizers)
def test_a_text_of_200_000_words_is_cut(tokenizer):
    codec = make_codec(tokenizer, max_length=50)
    start = "A film that isn't bad, <br />naïve! "
    ids = codec.encode_padded(tf.constant([start * (200_000 // 7), "film"])).numpy()
    assert ids.shape == (2, 50)
    assert ids[0].tolist() == codec.encode_padded(tf.constant([start * 20])).numpy()[0].tolist()


def test_learn_counts_only_what_is_read_of_each_text():
    batches = [[b"one two three four"], [b"two <br /> one five", b"one"]]
    codec = WordCodec.learn(batches, tokenizer="words", max_length=2, max_size=100)
    assert codec.vocabulary == ("one", "two")
    longer = WordCodec.learn(batches, tokenizer="words", max_length=3, max_size=100)
    assert longer.vocabulary == ("one", "two", "five", "three")


def test_learn_counts_over_batches_and_within_a_text():
    batches = [[b"b a b", b""], [b"c b c"], [b"a c C d"]]
    codec = WordCodec.learn(batches, tokenizer="words", max_length=10, max_size=5, min_count=2)
    assert codec.vocabulary == ("c", "b", "a")
    assert codec.max_length == 10
    assert codec.encode_padded(tf.constant(["a b c d"])).numpy().tolist() == [[4, 3, 2, UNKNOWN]]


def test_learn_takes_any_bytes():
    codec = WordCodec.learn([[b"\xff caf\xc3\xa9 \0 caf\xe9"]], tokenizer="characters")
    assert codec.vocabulary == (" ", "a", "c", "f", "é")


def test_learn_from_nothing_knows_nothing():
    codec = WordCodec.learn([], tokenizer="words", max_length=10, max_size=100)
    assert len(codec) == 2
    assert codec.encode_padded(tf.constant(["a"])).numpy().tolist() == [[UNKNOWN]]
