"""BLEU, CIDEr-D and ROUGE-L of captions, against values computed by hand and those of pycocoevalcap."""

import math
import random

import numpy as np
import pytest

from unroll.tasks.captioning import coco_metrics
from unroll.tasks.captioning.metrics import agreement, diversity


def test_a_perfect_caption_has_full_marks():
    references = [["A dog runs in the park."], ["Two cats sit on a red mat.", "Two cats."]]
    found = agreement(["a dog runs in the park", "Two cats sit on a red mat"], references)
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l"):
        assert found[name] == pytest.approx(100, abs=1e-4)
    assert found["cider"] > 300


def test_bleu_counts_words_by_all_references_and_punishes_shortness():
    """Of four words three are in some reference; the closest reference has five."""
    found = agreement(["a dog runs fast"], [["the dog runs away quickly", "a big brown dog is there now"]])
    assert found["bleu_1"] == pytest.approx(100 * 3 / 4 * math.exp(1 - 5 / 4), abs=1e-4)
    # Of the pairs only "dog runs".
    assert found["bleu_2"] == pytest.approx(100 * math.sqrt(3 / 4 * 1 / 3) * math.exp(1 - 5 / 4), abs=1e-4)


def test_case_and_punctuation_do_not_count():
    references = [["A dog, running!"], ["The cat's here."]]
    plain = agreement(["a dog running", "the cat's here"], references)
    loud = agreement(["A DOG running...", "The cat's -- here!"], references)
    assert plain == loud


def test_rouge_is_the_best_common_subsequence():
    """Three of four words in order, of five of the reference; recall counts 1.2 times as much."""
    found = agreement(["a dog runs fast"], [["a brown dog runs away", "nothing"]])
    precision, recall, beta = 3 / 4, 3 / 5, 1.2
    wanted = (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
    assert found["rouge_l"] == pytest.approx(100 * wanted, abs=1e-4)


def test_cider_counts_what_is_rare():
    references = [["a dog on grass"], ["a cat on grass"], ["a cow on grass"]]
    right = agreement(["the dog", "a cat on grass", "a cow on grass"], references)
    common = agreement(["on grass", "a cat on grass", "a cow on grass"], references)
    assert right["cider"] > common["cider"]


def test_an_empty_caption_has_no_marks():
    found = agreement(["", "a dog"], [["a cat"], ["a dog"]])
    assert all(0 <= value < 600 for value in found.values())


def test_diversity():
    found = diversity(["a red dog", "A red dog!", "a cat"])
    assert found["words"] == 4
    assert found["captions"] == pytest.approx(2 / 3)
    assert found["word_pairs"] == pytest.approx(3 / 5)


# Against the implementation of the challenge.

TEXTS = {
    "one_image": (["a dog runs"], [["a dog runs in the park", "the dog"]]),
    "same_words_again": (["the the the the", "a a"], [["the cat is on the mat"], ["a a a", "a b"]]),
    "empty_caption": (["", "a dog"], [["a cat"], ["a dog"]]),
    "only_empty_captions": (["", ""], [["a cat"], ["a dog"]]),
    "empty_reference": (["a cat", "", "b"], [["", "a cat sat"], [""], ["b", ""]]),
    "nothing_in_common": (["a b c d e", "f g"], [["v w x y z"], ["u"]]),
    "everything_the_same": (["a b c d e"] * 3, [["a b c d e", "a b c d e"]] * 3),
    "tie_of_lengths": (["a b c d"], [["a b c d e f", "a b"]]),
    "unicode": (
        ["ein größerer Hund läuft", "狗 跑 在 公园", "Ένας σκύλος"],
        [["ein Hund läuft", "der größere Hund"], ["狗 在 公园"], ["ένας σκύλος τρέχει", "σκύλος"]],
    ),
    "long": (["a b " * 30, "c"], [["a b " * 20 + "c", "b a " * 40], ["c " * 50]]),
}


def random_texts(seed):
    """Captions and references of random lengths, most words common and some rare."""
    draw = random.Random(seed)

    def text():
        return " ".join(f"w{int(draw.expovariate(0.3))}" for _ in range(draw.randrange(15)))

    references = [[text() for _ in range(draw.randint(1, 5))] for _ in range(draw.randint(2, 40))]
    captions = [draw.choice(several) if draw.random() < 0.3 else text() for several in references]
    return captions, references


def measured(captions, references):
    captions = [caption.split() for caption in captions]
    references = [[reference.split() for reference in several] for several in references]
    return [
        *coco_metrics.bleu(captions, references),
        coco_metrics.cider_d(captions, references),
        coco_metrics.rouge_l(captions, references),
    ]


@pytest.mark.parametrize("texts", [*TEXTS, *range(30)])
def test_metrics_equal_those_of_pycocoevalcap(texts):
    reason = "pycocoevalcap is not installed"
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=reason)
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=reason)
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=reason)
    captions, references = TEXTS[texts] if texts in TEXTS else random_texts(texts)

    given = {number: [" ".join(caption.split())] for number, caption in enumerate(captions)}
    wanted = {number: [" ".join(one.split()) for one in several] for number, several in enumerate(references)}
    expected = [
        *bleu.Bleu(4).compute_score(wanted, given, verbose=0)[0],
        cider.Cider().compute_score(wanted, given)[0],
        rouge.Rouge().compute_score(wanted, given)[0],
    ]
    np.testing.assert_allclose(measured(captions, references), expected, rtol=1e-11, atol=1e-300)


def test_metrics_equal_stored_values_of_pycocoevalcap():
    captions = ["a dog runs in the park", "two cats on a mat", "", "a red red car"]
    references = [
        ["a brown dog runs in a park", "the dog is running"],
        ["two cats sit on a red mat", "cats on the mat", "two animals"],
        ["a bird in the sky"],
        ["a red car stands in the street", "the car is red"],
    ]
    expected = [
        *[0.6687625564463686, 0.5287032230474557, 0.28128000407284137, 4.0376170467659026e-05],
        *[1.5997892056914407, 0.5285523174135549],
    ]
    np.testing.assert_allclose(measured(captions, references), expected, rtol=1e-11)


def test_references_without_any_word_give_no_cider():
    assert coco_metrics.cider_d([["a"], []], [[[]], [[]]]) == 0
