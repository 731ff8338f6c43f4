"""Draws characters from the distributions that a `step` signature returns, as the graph's own sampling does.

For clients that stream: with the same seed they write the text that `generate` writes. NumPy alone; a test holds it
against `unroll.models.decoding.sampling`.
"""

import numpy as np

# Temperatures below are taken for zero.
_GREEDY = 1e-4
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, position: int) -> np.float32:
    """The random number in [0, 1) of a position, from 0 on (SplitMix64)."""
    with np.errstate(over="ignore"):
        state = _mixed(np.uint64(seed)) + _INCREMENT * np.uint64(position + 1)
    return np.float32(_mixed(state) >> np.uint64(41)) / np.float32(2**23)


def choose(probabilities: np.ndarray, drawn: np.float32, temperature: float, top_k: int, top_p: float) -> int:
    """The number of the id that is drawn.

    Args:
        probabilities: float32 [ids], zero where an id is not allowed.
        drawn: a random number in [0, 1).
        temperature, top_k, top_p: as in `LanguageModel.generate`.
    """
    if temperature < _GREEDY:
        top_k, temperature = 1, 1.0
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / np.float32(temperature)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    if top_k > 0 or top_p < 1:
        ordered = np.argsort(-probabilities, kind="stable")[: top_k if top_k > 0 else None]
        mass = np.cumsum(probabilities[ordered])
        # What lies before each of them, of all that top_k left.
        kept = ordered[(mass - probabilities[ordered]) / mass[-1] < top_p]
        allowed = np.zeros_like(probabilities)
        allowed[kept if len(kept) else ordered[:1]] = 1
        probabilities = probabilities * allowed
    mass = np.cumsum(probabilities)
    return int((mass <= drawn * mass[-1]).sum())


def _mixed(number: np.uint64) -> np.uint64:
    with np.errstate(over="ignore"):
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
