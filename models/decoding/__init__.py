"""How a model writes, inside the graph: any function from ids and states to logits can be decoded."""

from .beam_search import Beams, Hypotheses, beam_search
from .sampling import Sampling, sample

__all__ = ["Beams", "Hypotheses", "Sampling", "beam_search", "sample"]
