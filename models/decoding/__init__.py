"""How a model writes, inside the graph: any function from ids and states to logits can be decoded."""

from unroll.models.decoding.beam_search import Beams, Hypotheses, beam_search
from unroll.models.decoding.sampling import Sampling, sample

__all__ = ["Beams", "Hypotheses", "Sampling", "beam_search", "sample"]
