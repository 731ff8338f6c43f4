"""Scenes of coloured shapes and their captions."""

import random
from collections.abc import Iterator
from typing import NamedTuple

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES = ("small", "large")
_MOST = 3

# Combinations that only this split shows; the training split has each colour and each shape in other combinations.
_HELD_OUT = {
    "train": (),
    "validation": (("yellow", "circle"), ("white", "ring")),
    "test": (("red", "triangle"), ("blue", "square"), ("purple", "cross")),
}
_CAPTIONS = 4

_COUNTS = (("a", "one"), ("two",), ("three",))
_SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
_PLURALS = {"cross": "crosses"}
# Relation of the first group to the second, and of the second to the first; below, the words for each.
_OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = tuple(_OPPOSITES)
_RELATION_WORDS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}


class Group(NamedTuple):
    """A group of equal shapes.

    Attributes:
        count: Number of shapes, 1 to 3.
        size: small or large.
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
    """

    count: int
    size: str
    colour: str
    shape: str


class Scene(NamedTuple):
    """The content of an image.

    Attributes:
        groups: One or two groups; two differ in colour or shape.
        relation: Position of the first group relative to the second, one of `RELATIONS`; meaningless for one group.
        captions: Captions of the scene, all different.
    """

    groups: tuple[Group, ...]
    relation: str
    captions: tuple[str, ...]


def generate_scenes(split: str, count: int) -> Iterator[Scene]:
    """Yields the scenes of a split, the same at every call.

    Each scene of the validation and test splits combines a colour and a shape that never occur together in training.

    Args:
        split: train, validation or test.
        count: Number of scenes.
    """
    chance = random.Random(f"unroll_scenes {split}")
    held_out = {pair for pairs in _HELD_OUT.values() for pair in pairs}
    common = [(colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in held_out]
    for _ in range(count):
        # One pair of a scene is held out; the other may occur in training.
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
    """Returns all captions that the grammar has for a scene, each once."""
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
    # Captions may omit the size.
    sizes = [f"{word} " for word in _SIZE_WORDS[group.size]] + [""]
    counts = _COUNTS[group.count - 1]
    return [f"{count} {size}{group.colour} {noun}" for count in counts for size in sizes]
