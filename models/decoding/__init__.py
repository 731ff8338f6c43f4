"""Beam search and sampling inside the graph, for any function from ids and states to logits."""

from .beam_search import IMPOSSIBLE, Beams, Hypotheses, beam_search
from .sampling import Samples, Sampling, draw, draw_character, sample

__all__ = [
    "IMPOSSIBLE",
    "Beams",
    "Hypotheses",
    "Samples",
    "Sampling",
    "beam_search",
    "draw",
    "draw_character",
    "sample",
]
