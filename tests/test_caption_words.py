"""Words of captions."""

import pytest

from unroll.tasks.captioning.metrics import agreement
from unroll.tasks.captioning.words import normalized, words


def test_words_are_those_of_the_coco_evaluation():
    assert words("A man's dog, isn't it? It's a T-shirt; 3.5 \u201cred\u201d!") == [
        "a", "man", "'s", "dog", "is", "n't", "it", "it", "'s", "a", "t-shirt", "3.5", "red",
    ]  # fmt: skip
    assert words("...") == []


def test_normalized_captions_can_be_read_and_are_normal():
    text = "A man 's dog isn't here ."
    assert normalized(text) == "a man's dog isn't here"
    assert normalized(normalized(text)) == normalized(text)
    assert words(normalized(text)) == words(text)


@pytest.mark.parametrize(
    ("text", "expected", "kept"),
    [
        ("एक कुत्ता दौड़ रहा है।", "एक कुत्ता दौड़ रहा है", "एक कुत्ता दौड़ रहा है"),
        ("இரண்டு நாய்கள்!", "இரண்டு நாய்கள்", "இரண்டு நாய்கள்"),
        ("كِتَابٌ، جَدِيدٌ", "كِتَابٌ جَدِيدٌ", "كِتَابٌ جَدِيدٌ"),
        ("Un cafe\u0301, man\u0303ana", "un café mañana", "un café mañana"),
        ("می\u200cخواهم بروم.", "می\u200cخواهم بروم", "می\u200cخواهم بروم"),
        ("一只猫,在 桌子上。", "一 只 猫 在 桌 子 上", "一只猫 在 桌子上"),
        ("コーヒーを3杯", "コ ー ヒ ー を 3 杯", "コーヒーを3杯"),
        ("ผมกินข้าว ครับ", "ผ ม กิ น ข้ า ว ค รั บ", "ผมกินข้าว ครับ"),
        ("한국어, 문장!", "한국어 문장", "한국어 문장"),
        ("½ cup x² Ⅷ", "½ cup x² ⅷ", "½ cup x² ⅷ"),
    ],
)
def test_words_of_many_scripts(text, expected, kept):
    assert words(text) == expected.split(" ")
    assert normalized(text) == kept
    assert normalized(kept) == kept
    assert words(kept) == words(text)


def test_metrics_know_the_words_of_scripts_without_spaces():
    references = [["一只猫在桌子上"], ["两只狗在跑"]]
    assert agreement(["一只猫在桌子上", "两只狗在跑"], references)["bleu_4"] == pytest.approx(100)
    assert 0 < agreement(["一只狗在桌子上", "两只狗在叫"], references)["bleu_1"] < 100
