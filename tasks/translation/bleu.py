"""BLEU with the tokeniser that the script of the references needs."""

from collections.abc import Sequence

import regex
import sacrebleu

from ...models.text.scripts import UNSPACED

_LETTER = regex.compile(r"\p{L}")
# Scripts, and sacreBLEU's tokenisers of their languages, the best first. Where the libraries of one are not installed,
# the next stands in. Kana before Han: Japanese has both.
_TOKENIZERS = (
    (regex.compile(r"[\p{Hiragana}\p{Katakana}]"), 0.1, ("ja-mecab", "char")),
    (regex.compile(r"\p{Han}"), 0.5, ("zh",)),
    (regex.compile(r"\p{Hangul}"), 0.5, ("ko-mecab", "char")),
    (regex.compile(rf"[{UNSPACED}]"), 0.5, ("char",)),
)


def bleu_for(references: Sequence[str], lowercase: bool = False) -> sacrebleu.BLEU:
    """Returns sacreBLEU with a tokeniser for the language of the references, cased or in lower case; its signature
    names both."""
    letters = sum(len(_LETTER.findall(text)) for text in references)
    for script, share, tokenizers in _TOKENIZERS:
        if sum(len(script.findall(text)) for text in references) > share * letters:
            return _first_installed(tokenizers, lowercase)
    return sacrebleu.BLEU(lowercase=lowercase)


def _first_installed(tokenizers: Sequence[str], lowercase: bool) -> sacrebleu.BLEU:
    for tokenizer in tokenizers[:-1]:
        try:
            return sacrebleu.BLEU(lowercase=lowercase, tokenize=tokenizer)
        except RuntimeError:
            continue
    return sacrebleu.BLEU(lowercase=lowercase, tokenize=tokenizers[-1])
