"""Times the generation of 1,000 characters, one prompt at a time: an exported model against PyTorch, in one run.

    python benchmarks/generation.py --model=exports/NAME [--characters=1000]

The exported model is loaded from its SavedModel and called by its `generate` signature. PyTorch runs a loop over
`torch.nn.LSTMCell` with the same sizes: one-hot input, the cells, a linear layer, softmax and a draw.
"""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from rounds import medians, medians_apart

_MODEL = flags.DEFINE_string(
    "model", None, "directory of an exported language model of LSTM layers", required=True
)
_CHARACTERS = flags.DEFINE_integer("characters", 1000, "characters to write")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds, each with a fresh process for each contender")
_CALLS = flags.DEFINE_integer("calls", 7, "calls that are timed in a process")
_ONLY = flags.DEFINE_string("only", None, "for the processes: the contender")


def torch_writer(classes: int, layers: int, units: int):
    import torch

    cells = [torch.nn.LSTMCell(units if number else classes, units) for number in range(layers)]
    linear = torch.nn.Linear(units, classes)

    @torch.no_grad()
    def write() -> int:
        states = [(torch.zeros(1, units), torch.zeros(1, units)) for _ in cells]
        choice, written = torch.tensor([2]), []
        for _ in range(_CHARACTERS.value):
            x = torch.nn.functional.one_hot(choice, classes).float()
            for number, cell in enumerate(cells):
                states[number] = cell(x, states[number])
                x = states[number][0]
            choice = torch.multinomial(torch.softmax(linear(x), dim=1), 1)[:, 0]
            written.append(int(choice))
        return len(written)

    return write


def contender(name: str):
    """Returns a function that generates a text and returns its length: a model may end its text early."""
    import unroll.serving as ue

    model = ue.load(_MODEL.value)
    if name == "unroll":
        return lambda: len(model.generate([" "], max_length=_CHARACTERS.value, seed=1)[0].text)
    greedy = {"temperature": [0.0], "top_k": [0], "top_p": [1.0], "seed": [0]}
    start = model.call("start", {"prompt": [b""]} | greedy)
    sizes = [value.shape[1] for state, value in start.items() if state.endswith("_h")]
    return torch_writer(start["probabilities"].shape[1], len(sizes), sizes[0])


def main(_):
    if _ONLY.value:
        print(json.dumps(medians({"write": contender(_ONLY.value)}, _CALLS.value)))
        return
    seconds = medians_apart(("unroll", "PyTorch"), _ROUNDS.value)
    for name, result in seconds.items():
        speed = seconds["PyTorch"]["write"] / result["write"]
        print(
            f"{name:10} {1e6 * result['write']:8.1f} microseconds a character   {speed:5.2f} times as fast as PyTorch"
        )


if __name__ == "__main__":
    app.run(main)
