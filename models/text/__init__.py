"""Text to ids and back, inside the graph, with TensorFlow's core ops alone."""

from .characters import BOUNDARY, CharacterCodec
from .codec import Codec
from .counting import TextCounter
from .ids import END, PADDING, START, UNKNOWN, at_least_one_step, left_aligned, pad, with_start_and_end
from .running_text import RunningTextCodec
from .subwords import SubwordCodec
from .words import WordCodec

__all__ = [
    "BOUNDARY",
    "END",
    "PADDING",
    "START",
    "UNKNOWN",
    "CharacterCodec",
    "Codec",
    "RunningTextCodec",
    "SubwordCodec",
    "TextCounter",
    "WordCodec",
    "at_least_one_step",
    "left_aligned",
    "pad",
    "with_start_and_end",
]
