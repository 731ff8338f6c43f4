"""The subword codec: marked words, the learnt vocabulary, encoding and decoding."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.text import END, START, SubwordCodec, with_start_and_end
from unroll.models.text.subwords import marked_words

# The example of the module.
EXAMPLE = "The dog's here."
PIECES = {
    "words": "▁The ▁dog ' s ▁here .",
    "subwords": "▁The ▁do g ' s ▁he re .",
    "characters": "▁ T h e ▁ d o g ' s ▁ h e r e .",
}
SENTENCES = [
    "The dog's here.",
    "A (small) [test], isn't it?! Yes — «no», {perhaps}; <s>...",
    "„Ärger über Öl“, sagte Weiß: 'Füße, 12,5 % & 3 × 7 = 21.'",
    'He said "rock\'n\'roll", not "jazz"; don’t!',
    "In 2024, 1.000.000 € and 50% of ½ x² cost $3.",
    "Emoji 😀 and 👨‍👩‍👧‍👦, one after the other: 🎉🎉👍🏽.",
    "日本語 と Ελληνικά, русский; naïve cafe\u0301.",
    "e-mail@host.org/path_to#it ~ a+b*c^d\\n `code` |pipe|",
    ".",
    "",
]


def bytes_of(texts):
    return [text.encode() for text in texts]


def strings(ragged):
    return [[piece.decode() for piece in row] for row in ragged.to_list()]


def learnt(texts, tokenizer, max_size=10_000, max_length=1000, **options):
    return SubwordCodec.learn(
        [bytes_of(texts)], tokenizer=tokenizer, max_size=max_size, max_length=max_length, **options
    )


def back(codec, texts):
    """From texts to ids and back."""
    ids = codec.encode(tf.constant(bytes_of(texts), tf.string)).to_tensor(0)
    return [text.decode() for text in codec.decode(ids).numpy()]


def longest_first(word, pieces):
    """The longest piece that fits, repeatedly; None for an unknown character."""
    found, position = [], 0
    while position < len(word):
        fitting = [piece for piece in pieces if word.startswith(piece, position)]
        found.append(max(fitting, key=len, default=None))
        position += len(found[-1] or "x")
    return found


@pytest.fixture(params=SubwordCodec.tokenizers)
def tokenizer(request):
    return request.param


# Words.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (EXAMPLE, "▁The ▁dog ' s ▁here ."),
        ("a  b\tc\r\nd\u00a0e\u2003f\u2028g\x85h", "▁a ▁b ▁c ▁d ▁e ▁f ▁g ▁h"),
        ("  padded \n", "▁padded"),
        ("(a)[b]", "▁( a ) [ b ]"),
        ('say "so".', '▁say ▁" so " .'),
        ("12,5 x3", "▁1 2 , 5 ▁x 3"),
        ("Ärger über", "▁Ärger ▁über"),
        ("e\u0301te\u0301", "▁e\u0301te\u0301"),
        ("hi😀😀 😀", "▁hi 😀 😀 ▁😀"),
        ("snake_case", "▁snake _ case"),
        ("a\0b\x1fc\x7fd", "▁a ▁b ▁c ▁d"),
        ("", ""),
        (" \t\u00a0 ", ""),
    ],
)
def test_text_is_split_into_marked_words_and_single_signs(text, words):
    assert strings(marked_words(tf.constant([text]))) == [words.split(" ") if words else []]


@pytest.mark.parametrize(
    ("text", "words", "unspaced"),
    [
        ("एक कुत्ता।", "▁एक ▁कुत्ता ।", "▁एक ▁कुत्ता ।"),
        ("كِتَابٌ می\u200cخواهم", "▁كِتَابٌ ▁می\u200cخواهم", "▁كِتَابٌ ▁می\u200cخواهم"),
        ("一只猫 3只abc", "▁一 只 猫 ▁3 只 abc", "▁一只猫 ▁3 只abc"),
        ("กินข้าว。ひら", "▁กิ น ข้ า ว 。 ひ ら", "▁กินข้าว 。 ひら"),
    ],
)
def test_letters_of_scripts_without_spaces_are_words_but_not_for_subwords(text, words, unspaced):
    for tokenizer, expected in (("words", words), ("subwords", unspaced)):
        split = SubwordCodec.tokenizers[tokenizer].split(tf.constant([text]))
        assert strings(split) == [expected.split(" ")]
        assert back(learnt([text], tokenizer), [text]) == [text]


def test_the_mark_itself_becomes_an_underscore(tokenizer):
    texts = ["a\u2581b", "\u2581", "x \u2581 \u2581y"]
    assert strings(marked_words(tf.constant(texts))) == [["▁a", "_", "b"], ["▁_"], ["▁x", "▁_", "▁_", "y"]]
    codec = learnt(texts, tokenizer)
    assert back(codec, texts) == ["a_b", "_", "x _ _y"]
    assert back(codec, ["a_b", "_", "x _ _y"]) == ["a_b", "_", "x _ _y"]


def test_bytes_that_are_no_text_separate_words():
    texts = [b"a\xff\xfeb \xc3", b"\x80", b"caf\xc3\xa9\xe2\x82"]
    assert strings(marked_words(tf.constant(texts))) == [["▁a", "▁b"], [], ["▁café"]]


def test_empty_batches_have_no_rows():
    nothing = tf.constant([], tf.string)
    assert marked_words(nothing).shape.as_list() == [0, None]
    assert with_start_and_end(tf.RaggedTensor.from_row_lengths(tf.constant([], tf.int32), [])).shape[0] == 0


def test_edges_are_put_around_each_text():
    ids = tf.ragged.constant([[5, 6, 7], [], [9]], dtype=tf.int32)
    edged = with_start_and_end(ids)
    assert edged.dtype == tf.int32
    assert edged.numpy().tolist() == [[START, 5, 6, 7, END], [START, END, 0, 0, 0], [START, 9, END, 0, 0]]


# To ids and back.


def test_example_is_split_as_the_module_tells(tokenizer):
    known = sorted(set(PIECES[tokenizer].split(" ")))
    codec = SubwordCodec(tokenizer, known, 100)
    (ids,) = codec.encode(tf.constant([EXAMPLE])).to_list()
    assert [codec.tokens[number].decode() for number in ids] == PIECES[tokenizer].split(" ")
    assert back(codec, [EXAMPLE]) == [EXAMPLE]


def test_texts_come_back_as_they_were(tokenizer):
    assert back(learnt(SENTENCES, tokenizer), SENTENCES) == SENTENCES


def test_white_space_comes_back_as_single_spaces(tokenizer):
    spaced = ["  a \t b\u00a0\u00a0c (\u2009d )\r\n", "\u3000e\u00a0", "f\x0b\x0cg"]
    expected = ["a b c ( d )", "e", "f g"]
    codec = learnt(spaced, tokenizer)
    assert back(codec, spaced) == expected
    ragged = codec.encode(tf.constant(spaced)).to_list()
    assert ragged == codec.encode(tf.constant(expected)).to_list()


def test_what_is_not_known_has_an_id_of_its_own_and_comes_back_as_a_replacement():
    texts = ["cat Öl", "cab ☃"]
    known = "the cat sat on a mat"
    words = learnt([known], "words")
    assert (words.encode(tf.constant(texts)).to_tensor(0).numpy() == 1).tolist() == [
        [False, True],
        [True] * 2,
    ]
    assert back(words, texts) == ["cat\ufffd", "\ufffd\ufffd"]
    characters = learnt([known], "characters")
    assert back(characters, texts) == ["cat \ufffd\ufffd", "ca\ufffd \ufffd"]
    subwords = learnt([known], "subwords")
    assert back(subwords, texts) == ["cat \ufffd\ufffd", "ca\ufffd \ufffd"]


def test_text_of_ids_leaves_out_padding_and_edges(tokenizer):
    codec = SubwordCodec(tokenizer, ["▁a", "b", "▁", "c"], 9)
    ids = [[[START, 4, 5, END, 0], [0, 0, 6, 7, 1]], [[END] * 5, [5, 4, 4, END, 5]]]
    texts = codec.decode(tf.constant(ids))
    assert texts.shape == (2, 2)
    assert [[t.decode() for t in row] for row in texts.numpy()] == [["ab", "c\ufffd"], ["", "b a ab"]]
    assert [token.decode() for token in codec.tokens] == ["", "\ufffd", "<s>", "</s>", "▁a", "b", "▁", "c"]


def test_no_text_is_taken_for_padding_or_an_edge(tokenizer, rng):
    texts = ["<s> </s> <pad> \0 \ufffd", "<s>", "</s>", *SENTENCES]
    texts += ["".join(map(chr, rng.integers(1, 0xD7FF, size=40))) for _ in range(50)]
    for codec in (learnt(texts, tokenizer), learnt(SENTENCES, tokenizer), SubwordCodec(tokenizer, [], 99)):
        ids = codec.encode(tf.constant(texts)).flat_values.numpy()
        assert len(ids) > 100
        assert set(ids) <= {1, *range(4, len(codec))}


@pytest.mark.parametrize("seed", range(3))
def test_words_are_split_into_the_longest_pieces_from_their_start_on(seed):
    rng = np.random.default_rng(seed)

    def word(longest):
        return "".join(rng.choice(list("abcä"), size=rng.integers(1, longest)))

    # Not all characters are pieces by themselves.
    inner = {word(6) for _ in range(25)} | {"a", "c"}
    pieces = sorted(inner | {f"▁{piece}" for piece in list(inner)[::2]} | ({"▁"} if seed else set()))
    words = [word(14) for _ in range(150)]
    codec = SubwordCodec("subwords", pieces, 1000)
    texts = [" ".join(words[first : first + 5]) for first in range(0, len(words), 5)]
    for text, ids in zip(texts, codec.encode(tf.constant(texts)).to_list(), strict=True):
        wanted = [piece for part in text.split() for piece in longest_first(f"▁{part}", pieces)]
        assert ids == [1 if piece is None else 4 + pieces.index(piece) for piece in wanted]
    assert any(len(longest_first(f"▁{part}", pieces)) > 3 for part in words)


def test_texts_are_cut_after_the_maximum_length(tokenizer):
    texts = [EXAMPLE, "here", "", "The dog's here. " * 500]
    known = sorted(set(PIECES[tokenizer].split(" ")))
    whole = SubwordCodec(tokenizer, known, 10_000).encode(tf.constant(texts)).to_list()
    for longest in (1, 4, 6):
        codec = SubwordCodec(tokenizer, known, longest)
        assert codec.encode(tf.constant(texts)).to_list() == [ids[:longest] for ids in whole]
        assert codec.encode(tf.constant(texts), max_length=2).to_list() == [ids[:2] for ids in whole]
        assert codec.encode(tf.constant(texts), max_length=10_000).to_list() == whole
    assert max(map(len, whole)) > 2000


def test_a_word_of_any_length_is_cut_before_it_is_split(tokenizer):
    known = sorted(set(PIECES[tokenizer].split(" ")) | set("abc"))
    texts = ["abc" * 100_000, "here " + "cab" * 30, "c"]
    ids = SubwordCodec(tokenizer, known, 50).encode(tf.constant(texts)).to_list()
    short = SubwordCodec(tokenizer, known).encode(tf.constant(["abc" * 50, *texts[1:]])).to_list()
    assert ids == [row[:50] for row in short]


def test_empty_texts_have_no_pieces(tokenizer):
    for pieces in ([], ["▁", "a"]):
        codec = SubwordCodec(tokenizer, pieces, 5)
        for texts in ([""], ["", " \n\u00a0"], []):
            ids = codec.encode(tf.constant(texts, tf.string))
            assert ids.dtype == tf.int32
            assert ids.to_list() == [[]] * len(texts)
            assert back(codec, texts) == [""] * len(texts)
    assert len(SubwordCodec(tokenizer, [], 5)) == 4


def test_texts_do_not_change_each_other(tokenizer):
    codec = learnt(SENTENCES[:4], tokenizer)
    together = codec.encode(tf.constant(SENTENCES)).to_list()
    assert together == [codec.encode(tf.constant([text])).to_list()[0] for text in SENTENCES]
    assert codec.encode(tf.constant(SENTENCES[::-1])).to_list() == together[::-1]


def test_a_graph_of_texts_of_any_number_is_traced_once(tokenizer):
    codec = learnt(SENTENCES, tokenizer)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def graph(texts):
        ids = codec.encode(texts)
        return ids, codec.decode(with_start_and_end(ids))

    for texts in (SENTENCES, SENTENCES[:1], [""], ["unknown ☃ words"], []):
        ids, texts_again = graph(tf.constant(texts, tf.string))
        assert ids.to_list() == codec.encode(tf.constant(texts, tf.string)).to_list()
        assert [text.decode() for text in texts_again.numpy()] == back(codec, texts)
    assert graph.experimental_get_tracing_count() == 1


def test_codec_is_exported_and_restored_with_its_table(tokenizer, tmp_path):
    codec = learnt(SENTENCES, tokenizer)
    module = tf.Module()
    module.codec = codec
    module.ids = tf.function(
        lambda texts: codec.encode(texts).to_tensor(0),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path))
    restored = tf.saved_model.load(str(tmp_path))
    expected = codec.encode(tf.constant(SENTENCES)).to_tensor(0)
    np.testing.assert_array_equal(restored.ids(tf.constant(SENTENCES)), expected)


def test_a_codec_is_made_again_of_its_configuration(tokenizer):
    codec = learnt(SENTENCES, tokenizer, max_length=7)
    again = SubwordCodec.from_config(json.loads(json.dumps(codec.get_config())))
    assert again.get_config() == codec.get_config()
    assert (again.tokenizer, again.max_length, len(again)) == (tokenizer, 7, len(codec))
    assert again.tokens == codec.tokens
    texts = tf.constant([*SENTENCES, "unheard ☃"])
    assert again.encode(texts).to_list() == codec.encode(texts).to_list()


# Learning.


def test_the_most_frequent_words_and_characters_are_learnt_in_their_order():
    texts = ["b a b c", "c a b", "zz"]
    words = learnt(texts, "words")
    # Of equal frequency in alphabetical order.
    assert words.vocabulary == ("▁b", "▁a", "▁c", "▁zz")
    assert len(words) == 8
    assert learnt(texts, "characters").vocabulary == ("▁", "b", "a", "c", "z")


def test_a_word_is_another_one_after_a_space():
    assert set(learnt(["dog (dog)"], "words").vocabulary) == {"▁dog", "dog", "▁(", ")"}


def assert_byte_pairs(words, pieces):
    """All characters, and then, again and again, the pair that stands side by side most often.

    Args:
        words: how often each occurs.
        pieces: The learnt vocabulary.
    """
    characters = sorted({character for word in words for character in word})
    assert sorted(pieces[: len(characters)]) == characters
    splits = {word: list(word) for word in words}
    for merged in pieces[len(characters) :]:
        pairs = Counter()
        for word, count in words.items():
            for pair in pairwise(splits[word]):
                pairs[pair] += count
        pair = max((pair for pair in pairs if "".join(pair) == merged), key=pairs.__getitem__)
        assert pairs[pair] == max(pairs.values())
        for parts in splits.values():
            position = 0
            while position + 1 < len(parts):
                if (parts[position], parts[position + 1]) == pair:
                    parts[position : position + 2] = [merged]
                position += 1


def test_subwords_are_all_characters_and_the_most_frequent_pairs_in_their_order():
    counts = {"low": 5, "lower": 2, "newest": 6, "widest": 3, "slow": 4, "new": 7, "wide": 1}
    text = " ".join(word for word, count in counts.items() for _ in range(count))
    pieces = learnt([text], "subwords", max_size=4 + 11 + 12).vocabulary
    assert len(pieces) == 23
    assert_byte_pairs({f"▁{word}": count for word, count in counts.items()}, pieces)


def test_words_more_frequent_than_a_line_of_what_is_learnt_from_count_in_full():
    counts = {"zy": 2600, "qx": 1400, "ab": 1200}
    text = " ".join(word for word, count in counts.items() for _ in range(count))
    pieces = learnt([text], "subwords", max_size=4 + 7 + 6).vocabulary
    assert [piece.strip("▁")[0] for piece in pieces[7:]] == ["z", "z", "q", "q", "a", "a"]
    assert_byte_pairs({f"▁{word}": count for word, count in counts.items()}, pieces)


def test_frequent_words_become_one_piece_and_rare_ones_stay_apart():
    codec = learnt(["the the the the house", "the then"], "subwords", max_size=4 + 8 + 4)
    assert "▁the" in codec.vocabulary
    (frequent, rare) = codec.encode(tf.constant(["the", "house"])).to_list()
    assert [codec.tokens[number].decode() for number in frequent] == ["▁the"]
    assert len(rare) > 3


def test_no_piece_is_longer_than_sixteen_characters():
    letters = "abcdefghijklmnopqrstuvwxyz"
    beginnings = [letters[:length] for length in range(1, 27)]
    pieces = learnt([" ".join(beginnings)] * 2, "subwords").vocabulary
    assert {f"▁{letters[:length]}" for length in range(1, 15)} <= set(pieces)
    assert max(map(len, pieces)) <= 16


def test_no_more_ids_than_the_maximum_are_learnt():
    text = " ".join(f"{a}{b}{a}{b}" for a in "abcdefgh" for b in "klmnopqr")
    for tokenizer, sizes in {"words": (4, 5, 20, 60), "characters": (4, 5, 12), "subwords": (30, 60)}.items():
        whole = learnt([text] * 2, tokenizer)
        assert len(whole) > max(sizes)
        for size in sizes:
            codec = learnt([text] * 2, tokenizer, max_size=size)
            assert len(codec) == len(codec.tokens) == size
            # A smaller vocabulary is the beginning of a larger one.
            assert codec.vocabulary == whole.vocabulary[: size - 4]
    assert len(learnt([text], "words", max_size=0)) == 4


def test_pieces_must_occur_often_enough(tokenizer):
    texts = ["aaa aaa aaa bb bb c", "bb aaa"]
    counts = {"aaa": 4, "bb": 3, "c": 1}
    for least in (1, 2, 3, 4, 5):
        codec = learnt(texts, tokenizer, min_count=least)
        known = {piece.strip("▁") for piece in codec.vocabulary} - {""}
        if tokenizer == "words":
            assert known == {word for word, count in counts.items() if count >= least}
        elif tokenizer == "characters":
            assert known == {w[0] for w, count in counts.items() if count * len(w) >= least}
        else:
            assert "".join(known).count("c") == (least == 1)
            # The pieces of a word of three letters are made by two merges.
            assert ("▁aaa" in codec.vocabulary) == (least <= 4)
            assert ("▁bb" in codec.vocabulary) == (least <= 3)


def test_learning_twice_gives_the_same_pieces(tokenizer, rng):
    letters = list("abcdefgäö")
    texts = [" ".join("".join(rng.choice(letters, size=4)) for _ in range(6)) for _ in range(60)]
    codec = learnt(texts, tokenizer, max_size=60)
    assert len(set(codec.vocabulary)) == len(codec.vocabulary) == (56 if tokenizer != "characters" else 10)
    for _ in range(2):
        assert learnt(texts, tokenizer, max_size=60).vocabulary == codec.vocabulary
    # Neither does the order of the texts matter, nor how many are read at a time.
    shuffled = bytes_of(texts[i] for i in rng.permutation(60))
    for size in (1, 7, 60):
        batches = (shuffled[first : first + size] for first in range(0, 60, size))
        again = SubwordCodec.learn(batches, tokenizer=tokenizer, max_size=60, max_length=1000)
        assert again.vocabulary == codec.vocabulary


@pytest.mark.parametrize("texts", [[], [""], [" ", "\n"]])
def test_nothing_is_learnt_of_nothing(tokenizer, texts):
    batches = [bytes_of(texts)] if texts else []
    codec = SubwordCodec.learn(batches, tokenizer=tokenizer, max_size=100, max_length=10)
    assert codec.vocabulary == ()
    assert codec.encode(tf.constant(["a b", ""])).to_list()[1] == []
    assert set(codec.encode(tf.constant(["a b"])).flat_values.numpy()) == {1}


@pytest.mark.parametrize("tokenizer", PIECES)
@pytest.mark.parametrize("max_length", [3, 1000])
def test_tokens_as_they_were_written_stand_where_the_ids_stand(tokenizer, max_length):
    codec = learnt(["The dog's here. here dog"], tokenizer, max_size=20, max_length=max_length)
    texts = tf.constant(bytes_of(["", "The cat's here, 日本 or thére.", "dog 😀 dogged"]))
    ids, tokens = codec.encode_padded(texts), codec.split_padded(texts)
    known = ids > 1
    assert ids.shape == tokens.shape
    assert np.array_equal(tokens[known], tf.gather(codec.tokens, ids)[known])
    assert np.array_equal(tokens == b"", ids == 0)
    if max_length == 1000:
        written = [text.decode() for text in codec.decode(ids, tokens).numpy()]
        assert written == ["", "The cat's here, 日本 or thére.", "dog 😀 dogged"]


@pytest.mark.parametrize("size", [None, 2**40])
def test_without_a_limit_everything_that_occurs_twice_is_a_subword(size):
    codec = SubwordCodec.learn([[b"the dog the dog"]], tokenizer="subwords", max_size=size)
    assert {"▁the", "▁dog"} < {*codec.vocabulary}


# Split anew.

LEARNT_FROM = [
    *SENTENCES,
    "The dog's here; there, the doghouse: therefore thereafter.",
    "Naïve cafés, 日本語!",
] * 3


def anew(codec, ids, dropout, seed=0, max_length=1000):
    return codec.resegment(ids, dropout, tf.constant([7, seed], tf.int64), max_length)


def test_texts_split_anew_are_the_same_texts(tokenizer):
    codec = learnt(LEARNT_FROM, tokenizer)
    ids = codec.encode(tf.constant(LEARNT_FROM))
    seen = [set() for _ in LEARNT_FROM]
    for dropout in (0.1, 0.5, 1.0):
        for seed in range(4):
            found = anew(codec, ids, dropout, seed)
            assert (found.dtype, found.row_splits.dtype) == (ids.dtype, ids.row_splits.dtype)
            assert [t.decode() for t in codec.decode(found.to_tensor(0)).numpy()] == LEARNT_FROM
            assert not {0, 1, START, END} & set(found.flat_values.numpy())
            for pieces, row in zip(seen, found.to_list(), strict=True):
                pieces.add(tuple(row))
    variety = [len(pieces) for pieces in seen]
    assert max(variety) == (1 if tokenizer != "subwords" else 9)


def test_without_dropout_texts_stay_as_they_are():
    codec = learnt(LEARNT_FROM, "subwords")
    ids = codec.encode(tf.constant(SENTENCES))
    assert anew(codec, ids, 0.0) is ids
    # A probability that no draw is below finds the longest pieces by the way of all others.
    assert anew(codec, ids, 1e-30).to_list() == ids.to_list()


def test_with_the_whole_dropout_the_pieces_are_characters():
    codec = learnt(LEARNT_FROM, "subwords")
    ids = codec.encode(tf.constant(LEARNT_FROM))
    for row, text in zip(anew(codec, ids, 1.0).to_list(), LEARNT_FROM, strict=True):
        marked = f"▁{text}".replace(" ", "▁") if text else ""
        assert [codec.tokens[number].decode() for number in row] == list(marked)


@pytest.mark.parametrize("dropout", [0.2, 0.6])
def test_each_piece_that_fits_is_passed_over_with_the_same_probability(dropout):
    codec = SubwordCodec("subwords", ["▁", "a", "b", "▁a", "▁ab", "ab"], 10)
    words = 8000
    ids = codec.encode(tf.constant(["ab " * words]), max_length=words)
    assert ids.to_list() == [[4 + 4] * words]
    (pieces,) = anew(codec, ids, dropout, max_length=10**6).to_list()
    found = "|".join(codec.tokens[number].decode() for number in pieces)
    counts = Counter(found.replace("|▁", " ▁").split())
    keep = 1 - dropout
    expected = {
        "▁ab": keep,
        "▁a|b": dropout * keep,
        "▁|ab": dropout**2 * keep,
        "▁|a|b": dropout**3,
    }
    assert {word: counts[word] / words for word in counts} == pytest.approx(expected, abs=0.02)


def test_the_seed_decides_the_pieces():
    codec = learnt(LEARNT_FROM, "subwords")
    ids = codec.encode(tf.constant(LEARNT_FROM))
    graph = tf.function(lambda ids, seed: codec.resegment(ids, 0.3, seed, 1000))
    found = [anew(codec, ids, 0.3, seed).to_list() for seed in range(5)]
    assert found == [graph(ids, tf.constant([7, seed], tf.int64)).to_list() for seed in range(5)]
    assert all(one != other for one, other in pairwise(found))
    # The same text is split in other ways at other places.
    assert len({tuple(row) for row in found[0][:: len(LEARNT_FROM) // 3]}) == 3


def test_no_text_becomes_longer_than_the_maximum():
    codec = learnt(LEARNT_FROM, "subwords")
    ids = codec.encode(tf.constant(LEARNT_FROM))
    lengths = ids.row_lengths().numpy()
    characters = anew(codec, ids, 1.0)
    for longest in (int(lengths.max()), int(np.median(lengths)), int(lengths.max()) + 5):
        found = anew(codec, ids, 1.0, max_length=longest)
        kept = 0
        for row, plain, split in zip(found.to_list(), ids.to_list(), characters.to_list(), strict=True):
            assert row == (split if len(split) <= longest else plain)
            kept += row == plain != split
        assert 0 < kept < len(LEARNT_FROM)
        assert [t.decode() for t in codec.decode(found.to_tensor(0)).numpy()] == LEARNT_FROM


def test_texts_with_unknown_tokens_stay_as_they_are():
    known = "the dog's here there therefore \ufffd"
    codec = learnt([known] * 2, "subwords")
    texts = ["the dog ☃ here", "there", "☃☃", "", "here \ufffd there"]
    ids = codec.encode(tf.constant(texts))
    changed = [
        one != other for one, other in zip(anew(codec, ids, 1.0).to_list(), ids.to_list(), strict=True)
    ]
    assert changed == [False, True, False, False, True]
    # A character that is known in a longer piece alone.
    part = SubwordCodec("subwords", ["▁", "b", "▁ab", "▁b"], 10)
    ids = part.encode(tf.constant(["ab", "b"]))
    assert anew(part, ids, 1.0).to_list() == [ids.to_list()[0], [4, 5]]


def test_batches_of_nothing_are_split_into_nothing():
    codec = learnt(LEARNT_FROM, "subwords")
    for texts in ([], [""], ["", ""]):
        ids = codec.encode(tf.constant(texts, tf.string))
        assert anew(codec, ids, 0.5).to_list() == [[]] * len(texts)
