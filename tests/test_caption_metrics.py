"""BLEU, CIDEr-D and ROUGE-L of captions, against values computed by hand."""

import math
import subprocess

import pytest

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


def test_java_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail("a process was begun"))
    agreement(["a dog"], [["a dog"]])


def test_diversity():
    found = diversity(["a red dog", "A red dog!", "a cat"])
    assert found["words"] == 4
    assert found["captions"] == pytest.approx(2 / 3)
    assert found["word_pairs"] == pytest.approx(3 / 5)
