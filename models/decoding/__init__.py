"""Beam search and sampling inside the graph, for any function from ids and states to logits."""

from .beam_search import Beams, Hypotheses, beam_search
from .sampling import Sampling, draw, sample

__all__ = ["Beams", "Hypotheses", "Sampling", "beam_search", "draw", "sample"]
