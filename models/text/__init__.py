"""Text to ids and back, inside the graph, with TensorFlow's core ops alone."""

from .encoder import TextEncoder, at_least_one_step, pad
from .vocabulary import Vocabulary

__all__ = ["TextEncoder", "Vocabulary", "at_least_one_step", "pad"]
