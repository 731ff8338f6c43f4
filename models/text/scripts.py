"""Sets of characters that decide where a word ends, for RE2 and for the library `regex`."""

# Scripts whose words no spaces separate: each of their letters is a word, with the marks that follow it.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# Zero-width characters that stand within words: in Persian, in Hindi, in joined emoji.
JOINERS = "\u200c\u200d"
