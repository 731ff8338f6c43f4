"""Text to ids and back, inside the graph, with TensorFlow's core ops alone."""

from unroll.models.text.encoder import TextEncoder, at_least_one_step, pad
from unroll.models.text.vocabulary import Vocabulary

__all__ = ["TextEncoder", "Vocabulary", "at_least_one_step", "pad"]
