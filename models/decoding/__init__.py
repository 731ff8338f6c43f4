"""How a model writes, inside the graph: any function from ids and states to logits can be decoded."""

from unroll.models.decoding.sampling import Sampling, sample

__all__ = ["Sampling", "sample"]
