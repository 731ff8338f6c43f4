"""Scenes of coloured shapes, and what can be said of them."""

import random
from collections.abc import Iterator
from typing import NamedTuple

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES = ("small", "large")
_MOST = 3

# What no other split shows: each is of a colour and a shape that the training split has with others.
_HELD_OUT = {
    "train": (),
    "validation": (("yellow", "circle"), ("white", "ring")),
    "test": (("red", "triangle"), ("blue", "square"), ("purple", "cross")),
}
_CAPTIONS = 4

_COUNTS = (("a", "one"), ("two",), ("three",))
_SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
_PLURALS = {"cross": "crosses"}
# What the first group is to the second, what that one is to the first, and how either is said.
_OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = tuple(_OPPOSITES)
_RELATION_WORDS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}


class Group(NamedTuple):
    """Shapes that are alike.

    Attributes:
        count: from 1 to 3.
        size: small or large.
        colour: one of `COLOURS`.
        shape: one of `SHAPES`.
    """

    count: int
    size: str
    colour: str
    shape: str


class Scene(NamedTuple):
    """What an image shows.

    Attributes:
        groups: one or two; two are of different colour or shape.
        relation: where the first is, seen from the second: one of `RELATIONS`; of no meaning for one group.
        captions: true of it, all different.
    """

    groups: tuple[Group, ...]
    relation: str
    captions: tuple[str, ...]


def generate_scenes(split: str, count: int) -> Iterator[Scene]:
    """Scenes of a split, the same at every call.

    Each scene of the validation and test splits has a colour with a shape that the training split never has together.

    Args:
        split: train, validation or test.
        count: how many.
    """
    chance = random.Random(f"unroll_scenes {split}")
    held_out = {pair for pairs in _HELD_OUT.values() for pair in pairs}
    common = [(colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in held_out]
    for _ in range(count):
        # Of the held-out pairs one a scene: the others are as in training.
        pairs = chance.sample(common, chance.choice((1, 2, 2)))
        if _HELD_OUT[split]:
            pairs[chance.randrange(len(pairs))] = chance.choice(_HELD_OUT[split])
        groups = tuple(
            Group(chance.randint(1, _MOST), chance.choice(SIZES), colour, shape) for colour, shape in pairs
        )
        relation = chance.choice(RELATIONS)
        sayings = captions_of(groups, relation)
        yield Scene(groups, relation, tuple(chance.sample(sayings, _CAPTIONS)))


def captions_of(groups: tuple[Group, ...], relation: str) -> list[str]:
    """Everything that the grammar says of a scene, each once."""
    if len(groups) == 1:
        (group,) = groups
        start = "there is" if group.count == 1 else "there are"
        return [f"{opening}{phrase}" for phrase in _phrases(group) for opening in ("", f"{start} ")]
    first, second = groups
    orders = ((first, relation, second), (second, _OPPOSITES[relation], first))
    return [
        f"{subject} {words} {place}"
        for one, where, other in orders
        for subject in _phrases(one)
        for words in _RELATION_WORDS[where]
        for place in _phrases(other)
    ]


def _phrases(group: Group) -> list[str]:
    noun = group.shape if group.count == 1 else _PLURALS.get(group.shape, f"{group.shape}s")
    # The size may be left unsaid.
    sizes = [f"{word} " for word in _SIZE_WORDS[group.size]] + [""]
    counts = _COUNTS[group.count - 1]
    return [f"{count} {size}{group.colour} {noun}" for count in counts for size in sizes]
