"""From a SavedModel to answers, without the code that trained it.

import unroll.serving

model = unroll.serving.load("exports/sentiment")
model.classify(["A wonderful film."])
"""

from .loader import load

__all__ = ["load"]
