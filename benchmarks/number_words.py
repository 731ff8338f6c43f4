"""Words for the ids of models with random weights."""


def word(number: int) -> str:
    """Returns a word of letters for a number: each digit would be a token of its own."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))
