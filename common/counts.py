"""Numbers with their nouns."""


def counted(number: int, noun: str) -> str:
    """Returns a number and its noun, in the plural unless there is one: "1 epoch", "2,000 epochs"."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
