"""The flags and the report of the commands that time an application's training steps."""

import sys
from collections.abc import Callable, Mapping

from absl import flags
from machine import measured
from rounds import Comparison, times, write_results

STEPS = flags.DEFINE_integer("steps", 5, "steps of a contender in a round")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "each contender makes some steps a round", lower_bound=2)
_RESULTS = flags.DEFINE_string("results", None, "JSON file for the results")


def report(
    contenders: Mapping[str, Callable[[], object]],
    amount: int,
    unit: str,
    torch_steps: Callable[[], Callable[[], object]] | None = None,
) -> None:
    """Times contenders, and prints their rates and how they compare with the best of Keras.

    Args:
        contenders: Their names begin with "Keras" and "unroll".
        amount: Work of a call.
        unit: Its unit.
        torch_steps: Makes a contender that imports PyTorch, if it is installed.
    """
    contenders = dict(contenders)
    try:
        if torch_steps:
            # PyTorch's builds for GPUs import Triton, which crashes beside TensorFlow; on CPUs nothing needs it.
            sys.modules.setdefault("triton", None)  # pyright: ignore[reportArgumentType]
            contenders["PyTorch"] = torch_steps()
    except ImportError:
        print("PyTorch is not installed: its row is left out.")
    machine = measured()
    found = Comparison(times(contenders, _ROUNDS.value))
    write_results(_RESULTS.value, {"machine": machine, "rows": [found.as_json()]})
    best = min(found.median(name) for name in contenders if name.startswith("Keras"))
    for name in contenders:
        seconds = found.median(name)
        print(f"{name:36} {amount / seconds:9,.0f} {unit}/s   {best / seconds:5.2f} of the best of Keras")
    print(found)
