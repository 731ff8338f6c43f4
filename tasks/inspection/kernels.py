"""How a recurrent kernel stretches vectors: its spectrum, and products of step Jacobians."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ...models.recurrent import RecurrentLayer, loop
from .flow import Track

# Steps in a product of Jacobians; fewer for states of more than 600 numbers, whose matrices would fill the memory.
_LONGEST, _LONGEST_OF_LARGE, _LARGE = 128, 64, 600
# Growth of the distances between neighbouring points of a curve.
_GROWTH = 1.4


def spread_distances(longest: int) -> list[int]:
    """Returns 1, 2, 3, 4, 5, 7, ... and `longest` itself, ever further apart; nothing for 0."""
    distances: list[int] = []
    last = 0
    while last < longest:
        last = min(longest, max(last + 1, int(last * _GROWTH)))
        distances.append(last)
    return distances


def spectrum(layer: RecurrentLayer) -> dict[str, dict[str, Any]]:
    """Returns singular values, largest first, and spectral radius of each gate's recurrent kernel, [units, units].

    The largest singular value bounds how much a vector can grow in one step; the spectral radius, the largest absolute
    eigenvalue, describes its growth over many steps.
    """
    names = layer.cell.gate_names
    kernels = np.split(layer.recurrent_kernel.numpy().astype(np.float64), len(names), axis=1)
    found = {}
    for name, kernel in zip(names, kernels, strict=True):
        values = np.linalg.svd(kernel, compute_uv=False) if np.isfinite(kernel).all() else [np.nan]
        radius = np.abs(np.linalg.eigvals(kernel)).max() if np.isfinite(kernel).all() else np.nan
        found[name] = {
            "largest_singular_value": float(values[0]),
            "spectral_radius": float(radius),
            "singular_values": [float(v) for v in values],
        }
    return found


def jacobian_norms(layer: RecurrentLayer, track: Track) -> dict[str, list]:
    """Returns the largest singular value of d(last state) / d(state k steps before) along a sequence, for some k.

    The state of an LSTM is h and c together. No gradient of this sequence can grow by more on its way back.
    """
    size = layer.cell.state_count * layer.units
    longest = min(len(track.previous[0]), _LONGEST_OF_LARGE if size > _LARGE else _LONGEST)
    distances = spread_distances(longest)
    products = _products(layer, track, distances).numpy() if distances else []
    norms = [float(np.linalg.norm(p, 2)) if np.isfinite(p).all() else np.inf for p in products]
    return {"distances": distances, "largest_singular_values": norms}


def _products(layer: RecurrentLayer, track: Track, distances: Sequence[int]) -> tf.Tensor:
    kernel = tf.constant(layer.recurrent_kernel.numpy(), tf.float32)
    kept, previous = tf.nest.map_structure(tf.constant, (track.kept, track.previous))
    return loop.jacobians(layer.cell, kept, previous, kernel, distances)
