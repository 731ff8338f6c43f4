"""From a SavedModel to answers, without the code that trained it.

import unroll.serving

model = unroll.serving.load("exports/sentiment")
model.classify(["A wonderful film."])

`connect("http://localhost:8501", "sentiment")` gives the same class, whose model a server runs.
"""

from .connect import connect
from .loader import load

__all__ = ["connect", "load"]
