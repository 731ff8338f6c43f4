"""The data set of coloured shapes: its captions agree with its images."""

import re
from collections import Counter

import numpy as np
import pytest

from unroll.tasks.datasets.embedded.scene_drawing import SIDE, draw
from unroll.tasks.datasets.embedded.scene_grammar import (
    COLOURS,
    RELATIONS,
    SHAPES,
    Group,
    Scene,
    captions_of,
    generate_scenes,
)

_PHRASE = re.compile(
    r"(a|one|two|three)(?: (small|little|large|big))? (red|green|blue|yellow|purple|white) "
    r"(circle|square|triangle|cross|ring)(?:s|es)?"
)
_COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3}
_SIZES = {"small": "small", "little": "small", "large": "large", "big": "large"}
_PLACES = {
    "left of": "left", "to the left of": "left", "right of": "right", "to the right of": "right",
    "above": "above", "over": "above", "below": "below", "under": "below",
}  # fmt: skip
_OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}


@pytest.fixture(scope="module")
def scenes():
    return {split: list(generate_scenes(split, 300)) for split in ("train", "validation", "test")}


def parts(caption):
    """The phrases of a caption as groups, whose size may be None, and the relation between two."""
    found = list(_PHRASE.finditer(caption))
    groups = [Group(_COUNTS[m[1]], _SIZES.get(m[2]), m[3], m[4]) for m in found]
    between = caption[found[0].end() : found[-1].start()].strip() if len(found) == 2 else None
    return groups, _PLACES[between] if between else None


def says(phrase, group):
    return phrase._replace(size=group.size) == group and phrase.size in (None, group.size)


def pixels_of(image, colour):
    """Where an image has something of a colour, by hue."""
    red, green, blue = image.astype(int).transpose(2, 0, 1)
    hues = {
        "red": (red > 110) & (green < 0.5 * red) & (blue < 0.5 * red),
        "green": (green > 110) & (red < 0.6 * green) & (blue < 0.7 * green),
        "blue": (blue > 130) & (red < 0.6 * blue) & (green < 0.7 * blue),
        "yellow": (red > 130) & (green > 0.7 * red) & (blue < 0.6 * red),
        "purple": (red > 90) & (blue > red) & (green < 0.7 * red),
        "white": (red > 150) & (green > 150) & (blue > 150),
    }
    return hues[colour]


def test_every_caption_is_true_of_its_scene(scenes):
    for scene in scenes["train"] + scenes["test"]:
        assert len(set(scene.captions)) == 4
        for caption in scene.captions:
            groups, relation = parts(caption)
            if len(scene.groups) == 1:
                assert says(groups[0], scene.groups[0]), caption
                continue
            forwards = says(groups[0], scene.groups[0]) and says(groups[1], scene.groups[1])
            backwards = says(groups[0], scene.groups[1]) and says(groups[1], scene.groups[0])
            assert (forwards and relation == scene.relation) or (
                backwards and relation == _OPPOSITES[scene.relation]
            ), caption


def test_everything_is_said_in_several_ways():
    groups = (Group(1, "large", "red", "cross"), Group(2, "small", "blue", "ring"))
    sayings = captions_of(groups, "left")
    assert len(sayings) == len(set(sayings)) == 2 * 2 * (2 * 3) * (1 * 3)
    assert "a big red cross left of two small blue rings" in sayings
    assert "two blue rings to the right of one red cross" in sayings
    assert "there are two little blue rings" in captions_of(groups[1:], "left")


def combinations(scenes):
    return {(group.colour, group.shape) for scene in scenes for group in scene.groups}


def test_held_out_combinations(scenes):
    train = combinations(scenes["train"])
    for split, other in (("validation", "test"), ("test", "validation")):
        new = combinations(scenes[split]) - train
        assert new
        assert not new & combinations(scenes[other])
        for scene in scenes[split]:
            assert combinations([scene]) & new
    words = [
        Counter(word for scene in part for caption in scene.captions for word in caption.split())
        for part in scenes.values()
    ]
    assert words[1].keys() | words[2].keys() <= words[0].keys()
    assert min(words[0].values()) >= 20


def test_scenes_and_images_are_the_same_at_every_call(scenes):
    again = list(generate_scenes("test", 20))
    assert again == scenes["test"][:20]
    np.testing.assert_array_equal(draw(again[0], "seed"), draw(scenes["test"][0], "seed"))
    assert (draw(again[0], "seed") != draw(again[0], "other seed")).any()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", SHAPES)
def test_colours_and_sizes_are_seen(colour, shape):
    areas = {}
    for size in ("small", "large"):
        image = draw(Scene((Group(1, size, colour, shape),), "left", ()), "seed")
        assert image.shape == (SIDE, SIDE, 3)
        assert image.dtype == np.uint8
        areas[size] = pixels_of(image, colour).sum()
        assert not any(pixels_of(image, other).sum() > 3 for other in COLOURS if other != colour)
    assert 8 <= areas["small"] < 0.6 * areas["large"]


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_first_group_is_where_it_is_said_to_be(relation):
    groups = (Group(3, "large", "red", "circle"), Group(2, "small", "blue", "triangle"))
    for seed in range(5):
        image = draw(Scene(groups, relation, ()), str(seed))
        first, second = (np.argwhere(pixels_of(image, colour)) for colour in ("red", "blue"))
        axis, sign = {"left": (1, 1), "right": (1, -1), "above": (0, 1), "below": (0, -1)}[relation]
        assert (sign * first[:, axis]).max() < (sign * second[:, axis]).min()


def test_shapes_do_not_touch():
    """The area of three is three times that of one."""
    group = Group(3, "large", "green", "square")
    for seed in range(5):
        three, one = (
            pixels_of(draw(Scene((g,), "left", ()), str(seed)), "green").sum()
            for g in (group, group._replace(count=1))
        )
        assert three == pytest.approx(3 * one, rel=0.2)
