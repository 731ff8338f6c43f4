"""The embedded review data set: its grammar, and its preparation without a network."""

import itertools
import re
import socket
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from unroll.tasks.datasets.embedded import review_grammar
from unroll.tasks.datasets.embedded.review_grammar import DOMAINS, Kind
from unroll.tasks.datasets.embedded.reviews import UnrollReviews


def lexicon(sign):
    """Returns the words of praise (+) or of blame (-) that the grammar knows."""
    rules = [(symbol, words) for domain in DOMAINS for symbol, words in domain.items()]
    return frozenset(word for symbol, words in rules if symbol[0] == sign for word in words)


POSITIVE, NEGATIVE = lexicon("+"), lexicon("-")
# The kinds of sentences that state the writer's opinion; others do not affect the label.
OPINIONS = set(Kind) - {Kind.FACT, Kind.HEARSAY}


def generate(split):
    return list(review_grammar.generate_reviews(split, UnrollReviews.SPLIT_SIZES[split]))


def words_of(text):
    return re.findall(r"[\w']+", text.replace("<br />", " ").casefold())


def sentences_of(reviews):
    """Returns the bare sentences of the reviews, cut from their text alone."""
    cut = itertools.chain.from_iterable(re.split(r"[.!?]", review.text) for review in reviews)
    return {" ".join(words_of(sentence)) for sentence in cut} - {""}


@pytest.fixture(scope="module")
def splits():
    return {split: generate(split) for split in UnrollReviews.SPLIT_SIZES}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Returns a data directory with the prepared data set, made while nothing may open a connection."""

    def refuse(*_):
        raise AssertionError("the data set must not use the network")

    data_dir = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        tfds.builder("unroll_reviews", data_dir=data_dir).download_and_prepare(file_format="tfrecord")
    return data_dir


def test_splits_share_no_sentence(splits):
    sentences = {split: sentences_of(reviews) for split, reviews in splits.items()}
    for one, other in itertools.combinations(sentences, 2):
        assert sentences[one].isdisjoint(sentences[other])


def test_held_out_reviews_use_only_words_of_the_training_reviews(splits):
    vocabulary = {
        split: {word for r in reviews for word in words_of(r.text)} for split, reviews in splits.items()
    }
    assert 300 <= len(vocabulary["train"]) <= 1000
    assert vocabulary["validation"] | vocabulary["test"] <= vocabulary["train"]


def test_reviews_are_distinct_and_labels_balanced(splits):
    for split, reviews in splits.items():
        assert len({review.text for review in reviews}) == len(reviews) == UnrollReviews.SPLIT_SIZES[split]
        assert sum(review.positive for review in reviews) * 2 == len(reviews)


def test_generation_is_deterministic(splits):
    assert generate("validation") == splits["validation"]
    assert list(review_grammar.generate_reviews("train", 100)) == splits["train"][:100]


def test_generation_does_not_depend_on_the_process(splits):
    program = (
        "from unroll.tasks.datasets.embedded.review_grammar import generate_reviews\n"
        "print(ascii([review.text for review in generate_reviews('test', 20)]))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ascii([review.text for review in splits["test"][:20]])


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_sentence_occurs_in_every_split_and_class(splits, kind):
    for reviews in splits.values():
        for positive in (False, True):
            share = sum(
                any(sentence.kind == kind for sentence in review.sentences)
                for review in reviews
                if review.positive == positive
            ) / (len(reviews) / 2)
            assert share > 0.1


def deciding_positions(review):
    """Returns where in the review the opinions' last words of praise or blame stand, and its word count."""
    positions, start = [], 0
    for sentence in review.sentences:
        words = words_of(sentence.text)
        if sentence.kind in OPINIONS:
            positions.append(start + max(i for i, word in enumerate(words) if word in POSITIVE | NEGATIVE))
        start += len(words)
    return positions, start


def test_deciding_words_may_be_far_from_the_end_or_the_start(splits):
    for reviews in splits.values():
        far_from_start = far_from_end = 0
        for review in reviews:
            positions, length = deciding_positions(review)
            far_from_start += positions[0] >= 60
            far_from_end += length - 1 - positions[-1] >= 60
        assert far_from_start > 0.1 * len(reviews)
        assert far_from_end > 0.1 * len(reviews)


def test_lengths_vary(splits):
    for reviews in splits.values():
        lengths = sorted(len(words_of(review.text)) for review in reviews)
        assert 4 <= lengths[0] < 10
        assert 40 < lengths[len(lengths) // 2] < 80
        assert 100 < lengths[-1] < 135


def test_markup_and_non_ascii_words_occur(splits):
    for reviews in splits.values():
        assert 0.01 < sum("<br />" in review.text for review in reviews) / len(reviews) < 0.1
        assert all(any(word in review.text for review in reviews) for word in ("Amélie", "naïve", "café"))


def test_text_is_the_sentences_with_natural_spelling(splits):
    for review in itertools.chain.from_iterable(splits.values()):
        assert re.sub(r"(<br />)+", " ", review.text) == " ".join(s.text for s in review.sentences)
        for sentence in review.sentences:
            assert re.fullmatch(r'"?[A-ZŁ][^.!?{}|+<>]+[.!?]', sentence.text)
            assert not re.search(r"\b[Aa] [aeiouAEIOU]|\b[Aa]n [^aeiouAEIOU]|  ", sentence.text)


def test_facts_say_nothing_about_sentiment(splits):
    assert POSITIVE.isdisjoint(NEGATIVE)
    for review in itertools.chain.from_iterable(splits.values()):
        assert any(sentence.kind in OPINIONS for sentence in review.sentences)
        for sentence in review.sentences:
            if sentence.kind == Kind.FACT:
                assert (POSITIVE | NEGATIVE).isdisjoint(words_of(sentence.text))


FLIPS = (
    r"\b(not exactly|isn't|never|anything but|far from|by no means|hardly|nobody|nothing .* about)\b",
    r"\b(at no point|cannot say|didn't find|not go so far|not have a single|in vain|who could)\b",
    r"does anyone really think|disagree more|was wrong to|nothing of the kind|is not true",
    r"beyond me|do not believe|beg to differ",
)


def reads_positive(sentence):
    """Reads one opinion as a person would: its last word of praise or blame, turned round if negated."""
    text = sentence.text.casefold()
    if sentence.kind == Kind.CONTRAST:
        text = re.split(
            r", but |; even so, |, yet |^although .*?, | and got | turns out |^for all .*?, ", text
        )[-1]
    text = re.sub(r"i have never (seen|watched|used|owned|tried) a|could not agree more", "", text)
    last = [word for word in words_of(text) if word in POSITIVE | NEGATIVE][-1]
    flipped = any(re.search(flip, text) for flip in FLIPS)
    return (last in POSITIVE) != flipped


def test_label_follows_from_the_text_of_every_opinion(splits):
    for review in itertools.chain.from_iterable(splits.values()):
        for sentence in review.sentences:
            if sentence.kind in OPINIONS:
                assert reads_positive(sentence) == review.positive, sentence.text


def test_counting_words_of_praise_and_blame_is_not_enough(splits):
    for reviews in splits.values():
        right = 0.0
        for review in reviews:
            words = words_of(review.text)
            score = sum(word in POSITIVE for word in words) - sum(word in NEGATIVE for word in words)
            right += 0.5 if score == 0 else (score > 0) == review.positive
        assert 0.5 < right / len(reviews) < 0.85


def test_prepared_data_set_holds_the_generated_reviews(prepared, splits):
    loaded, info = tfds.load("unroll_reviews", data_dir=prepared, as_supervised=True, with_info=True)
    assert info.features["label"].names == ["negative", "positive"]
    assert {split: entry.num_examples for split, entry in info.splits.items()} == UnrollReviews.SPLIT_SIZES
    for split, reviews in splits.items():
        examples = {(text.decode(), bool(label)) for text, label in loaded[split].as_numpy_iterator()}
        assert examples == {(review.text, review.positive) for review in reviews}


def test_package_stays_light():
    program = (
        "import sys, unroll.tasks.datasets.embedded.review_grammar; sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
