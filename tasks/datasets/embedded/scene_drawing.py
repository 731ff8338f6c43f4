"""Draws scenes of coloured shapes."""

import random
from collections.abc import Callable

import numpy as np

from .scene_grammar import Group, Scene

SIDE = 64
# Each pixel is the mean of 3 x 3 points.
_FINE = 3
_RADII = {"small": (3.5, 4.8), "large": (7.0, 8.5)}
_GAP = 1.0
_COLOURS = {
    "red": (225, 45, 40),
    "green": (50, 190, 70),
    "blue": (50, 90, 235),
    "yellow": (240, 215, 50),
    "purple": (165, 60, 200),
    "white": (240, 240, 240),
}
# Tests whether a point is inside a shape with its centre at the origin and radius 1; v points down.
_INSIDE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda u, v: u**2 + v**2 <= 1,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) <= 0.85,
    "triangle": lambda u, v: (v <= 0.8) & (abs(u) <= 0.55 * (v + 1)),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 0.3) & (np.maximum(abs(u), abs(v)) <= 1),
    "ring": lambda u, v: (u**2 + v**2 <= 1) & (u**2 + v**2 >= 0.35),
}
# Where in the unit square a group with this relation to the other stands: left, top, right, bottom.
_HALVES = {
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 1, 1),
    "above": (0, 0, 1, 0.5),
    "below": (0, 0.5, 1, 1),
}


def draw(scene: Scene, seed: str) -> np.ndarray:
    """Draws a scene, uint8 [64, 64, 3].

    Args:
        scene: Scene to draw.
        seed: Seed of positions, radii, brightness and background.
    """
    chance = random.Random(seed)
    points = (np.arange(SIDE * _FINE) + 0.5) / _FINE
    x, y = points[None, :], points[:, None]
    image = np.full((SIDE * _FINE, SIDE * _FINE, 3), chance.uniform(15, 70))
    image += (chance.uniform(-0.3, 0.3) * (x - SIDE / 2) + chance.uniform(-0.3, 0.3) * (y - SIDE / 2))[
        ..., None
    ]
    for group, area in zip(scene.groups, _areas(scene), strict=True):
        radius = chance.uniform(*_RADII[group.size])
        colour = np.array(_COLOURS[group.colour]) * chance.uniform(0.8, 1.05)
        for left, top in _places(group, radius, area, chance):
            inside = _INSIDE[group.shape]((x - left) / radius, (y - top) / radius)
            image[inside] = colour
    fine = image.reshape(SIDE, _FINE, SIDE, _FINE, 3)
    return np.clip(fine.mean(axis=(1, 3)).round(), 0, 255).astype(np.uint8)


def _areas(scene: Scene) -> list[tuple[float, ...]]:
    """Returns the area of each group."""
    if len(scene.groups) == 1:
        return [(0, 0, 1, 1)]
    left, top, right, bottom = first = _HALVES[scene.relation]
    # The other half is the first half, rotated around the centre.
    return [first, (1 - right, 1 - bottom, 1 - left, 1 - top)]


def _places(
    group: Group, radius: float, area: tuple[float, ...], chance: random.Random
) -> list[tuple[float, float]]:
    """Draws the centres of a group's shapes so that the shapes do not touch."""
    left, top, right, bottom = (SIDE * side for side in area)
    margin = radius + _GAP
    while True:
        places = [
            (chance.uniform(left + margin, right - margin), chance.uniform(top + margin, bottom - margin))
            for _ in range(group.count)
        ]
        apart = all(
            max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= 2 * margin
            for n, a in enumerate(places)
            for b in places[:n]
        )
        if apart:
            return places
