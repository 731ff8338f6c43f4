"""A text's label from an exported classifier against ONNX Runtime with the same weights, in one run.

    python benchmarks/classifier_latency.py [--tokens=230 --units=128 --embedding_size=128 --vocabulary=30000]

Bidirectional LSTM, maximum over the steps, two labels, random weights. unroll's model is loaded from its SavedModel and
called from text to label; ONNX Runtime begins with ids and ends with probabilities, which are compared. Needs
`pip install onnx onnxruntime`.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tempfile
from collections.abc import Callable

import numpy as np
from absl import app, flags
from number_words import word
from rounds import compared_apart, medians

import unroll.serving

_TOKENS = flags.DEFINE_integer("tokens", 230, "words of a text")
_UNITS = flags.DEFINE_integer("units", 128, "units of each direction")
_EMBEDDING = flags.DEFINE_integer("embedding_size", 128, "size of a word's vector")
_VOCABULARY = flags.DEFINE_integer("vocabulary", 30000, "words known")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds, each with a fresh process for each contender")
_CALLS = flags.DEFINE_integer("calls", 41, "calls that are timed in a process")
_RESULTS = flags.DEFINE_string("results", None, "JSON file for the results")
_MODEL = flags.DEFINE_string(
    "model", None, "for the processes: directory of the exported model and its weights"
)
_ONLY = flags.DEFINE_string("only", None, "for the processes: the contender")

_WEIGHTS = "weights.npz"
_NAMES = ("unroll", "ONNX Runtime")
_BATCHES = (1, 32)


def write_model(directory: str) -> None:
    """Exports a classifier with random weights, and writes them beside it."""
    import keras

    from unroll.export.saved_model import export
    from unroll.models.options import SentimentOptions
    from unroll.models.sentiment import SentimentClassifier
    from unroll.models.text import WordCodec
    from unroll.tasks.sentiment.signatures import bundle

    keras.utils.set_random_seed(0)
    codec = WordCodec("words", [word(number) for number in range(_VOCABULARY.value - 2)], 5000)
    options = SentimentOptions(units=_UNITS.value, embedding_size=_EMBEDDING.value, pooling="max")
    model = SentimentClassifier(len(codec), 2, options)
    model.build()
    export(bundle(model, codec, {"bad": 1, "good": 1}), f"{directory}/model")
    (layer,) = model.recurrent.layers
    arrays = {"embedding": model.embedding.embeddings}
    for name, side in (("forward", layer.forward_layer), ("backward", layer.backward_layer)):
        arrays |= {f"{name}_{weight.name}": weight for weight in side.weights}
    arrays |= {"logits_kernel": model.logits.kernel, "logits_bias": model.logits.bias}
    np.savez(f"{directory}/{_WEIGHTS}", **{name: value.numpy() for name, value in arrays.items()})


def onnx_classifier(directory: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from ids, int64 [time, batch], to probabilities, with the weights of a directory."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    weights = np.load(f"{directory}/{_WEIGHTS}")

    def gates(name: str) -> np.ndarray:
        """Returns [2, 4 * units, ...]: ONNX has the order input, output, forget, candidate, and kernels transposed."""
        both = []
        for side in ("forward", "backward"):
            i, f, candidate, o = np.split(weights[f"{side}_{name}"], 4, axis=-1)
            both.append(np.concatenate([i, o, f, candidate], axis=-1).T)
        return np.stack(both)

    bias = gates("bias")
    constants = {
        "embedding": weights["embedding"],
        "W": gates("kernel"),
        "R": gates("recurrent_kernel"),
        # The second half is the bias of the recurrent product.
        "B": np.concatenate([bias, np.zeros_like(bias)], axis=1),
        "kernel": weights["logits_kernel"],
        "bias": weights["logits_bias"],
        "steps": np.array([0]),
        "rows": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["x"]),
        helper.make_node(
            "LSTM", ["x", "W", "R", "B"], ["h"], direction="bidirectional", hidden_size=_UNITS.value
        ),
        helper.make_node("ReduceMax", ["h", "steps"], ["pooled"], keepdims=0),
        helper.make_node("Transpose", ["pooled"], ["by_row"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["by_row", "rows"], ["features"]),
        helper.make_node("Gemm", ["features", "kernel", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["time", "batch"])],
        [helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda ids: session.run(None, {"ids": ids})[0]


def contender(name: str, directory: str, batch: int) -> Callable[[], np.ndarray]:
    """Returns a function that classifies a batch of texts, and returns the probabilities."""
    ids = np.random.default_rng(0).integers(2, _VOCABULARY.value, (batch, _TOKENS.value))
    if name == "unroll":
        model = unroll.serving.load(f"{directory}/model")
        texts = [" ".join(word(number - 2) for number in row) for row in ids]
        return lambda: np.array([list(result.probabilities.values()) for result in model.classify(texts)])
    classify, time_major = onnx_classifier(directory), np.ascontiguousarray(ids.T)
    return lambda: classify(time_major)


def main(_):
    if _ONLY.value:
        calls = {str(batch): contender(_ONLY.value, _MODEL.value, batch) for batch in _BATCHES}
        print(json.dumps(medians(calls, _CALLS.value, warm_up=5)))
        return
    with tempfile.TemporaryDirectory() as directory:
        write_model(directory)
        np.testing.assert_allclose(*(contender(name, directory, 3)() for name in _NAMES), atol=1e-5)
        sys.argv.append(f"--model={directory}")
        work = f"label of a text of {_TOKENS.value} words"
        compared_apart(work, *_NAMES, _ROUNDS.value, _RESULTS.value)


if __name__ == "__main__":
    app.run(main)
