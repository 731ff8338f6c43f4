"""The C API serves a SavedModel from a process without the Python package tensorflow."""

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from unroll.serving.c_api import SavedModelSession, SignatureDef, TensorInfo

WORDS = ["cat", "dog", "a word of more than the 22 bytes that a TF_TString holds inline", ""]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self):
            words = tf.lookup.KeyValueTensorInitializer(WORDS[:3], tf.range(3, dtype=tf.int64))
            self.table = tf.lookup.StaticHashTable(words, default_value=-1)
            self.factor = tf.Variable(1.5)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
        def look_up(self, words):
            ids = self.table.lookup(words)
            return {
                "ids": ids,
                "known": ids >= 0,
                "named": tf.strings.join([words, tf.strings.as_string(ids)]),
            }

        @tf.function(
            input_signature=[tf.TensorSpec([], tf.float32, "x"), tf.TensorSpec([], tf.int32, "times")]
        )
        def scale(self, x, times):
            for _ in tf.range(times):
                x = x * self.factor
            return {"x": x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "sizes")])
        def fail(self, sizes):
            return {"fails": tf.reshape(tf.range(5), sizes)}

    def echo(dtype):
        @tf.function(input_signature=[tf.TensorSpec(None, dtype, "x")])
        def call(x):
            return {"x": x}

        return call

    model = Model()
    directory = tmp_path_factory.mktemp("saved_model")
    dtypes = [tf.float16, tf.float32, tf.float64, tf.int8, tf.int32, tf.int64, tf.bool, tf.string]
    echoes = {f"echo_{dtype.name}": echo(dtype) for dtype in dtypes}
    model.echoes = list(echoes.values())
    signatures = {"look_up": model.look_up, "scale": model.scale, "fail": model.fail, **echoes}
    tf.saved_model.save(model, str(directory), signatures)
    return directory


@pytest.fixture(scope="module")
def fresh():
    """Calls a function of this module in a process that has never imported tensorflow."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def run(directory, signature, inputs):
    with SavedModelSession(directory) as session:
        outputs = session.run(signature, inputs)
    assert "tensorflow" not in sys.modules
    return outputs


def read_signatures(directory):
    with SavedModelSession(directory) as session:
        return session.signatures


def run_closed(directory):
    session = SavedModelSession(directory)
    session.close()
    session.close()
    session.run("scale", {})


def measure_growth(directory):
    """Bytes by which calls that fail, calls that return their inputs, and sessions grow the process."""

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def work():
        with SavedModelSession(directory) as session:
            for _ in range(20):
                session.run("echo_string", {"x": np.array([b"x" * 500_000, b"y" * 500_000])})
                session.run("echo_float32", {"x": np.ones(250_000, np.float32)})
                with pytest.raises(RuntimeError):
                    session.run("fail", {"sizes": np.ones(250_000, np.int32)})

    work()
    before = resident()
    for _ in range(5):
        work()
    return resident() - before


def test_signatures(fresh, saved_model):
    signatures = fresh(read_signatures, saved_model)
    assert {"look_up", "scale", "fail", "echo_bool"} < signatures.keys()
    assert not any(name.startswith("__saved_model") for name in signatures)
    scale = signatures["scale"]
    assert isinstance(scale, SignatureDef)
    assert scale.inputs["times"] == TensorInfo("scale_times:0", np.dtype(np.int32))
    dtypes = {name: spec.dtype for name, spec in signatures["look_up"].outputs.items()}
    assert dtypes == {"ids": np.int64, "known": np.bool_, "named": np.object_}


def test_table_lookup(fresh, saved_model):
    outputs = fresh(run, saved_model, "look_up", {"words": np.array([*WORDS, "bird"])})
    np.testing.assert_array_equal(outputs["ids"], np.array([0, 1, 2, -1, -1]))
    np.testing.assert_array_equal(outputs["known"], [True, True, True, False, False])
    assert outputs["named"].tolist() == [b"cat0", b"dog1", f"{WORDS[2]}2".encode(), b"-1", b"bird-1"]
    assert [outputs[name].dtype for name in ("ids", "known", "named")] == [np.int64, np.bool_, np.object_]


def test_while_loop(fresh, saved_model):
    outputs = fresh(run, saved_model, "scale", {"x": np.float32(2), "times": np.array(3, np.int32)})
    assert outputs["x"].shape == ()
    assert outputs["x"] == np.float32(2 * 1.5**3)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 1, 3)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "bool"])
def test_dtypes_and_shapes(fresh, saved_model, dtype, shape):
    given = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
    returned = fresh(run, saved_model, f"echo_{dtype}", {"x": given.T})["x"]
    np.testing.assert_array_equal(returned, given.T, strict=True)


@pytest.mark.parametrize(
    "given",
    [
        np.array(b"one", object),
        np.array([], object),
        np.array([[b"\xff\x00\x00", b""], ["gr\u00fcn", b"x" * 100_000]], object),
        np.array([b"short", b"longer than the bytes of a TF_TString"]),
        np.array([["gr\u00fcn"], ["\u7da0"]]),
    ],
)
def test_strings(fresh, saved_model, given):
    returned = fresh(run, saved_model, "echo_string", {"x": given})["x"]
    assert returned.dtype == np.object_
    assert returned.shape == given.shape
    assert list(returned.flat) == [item.encode() if isinstance(item, str) else item for item in given.flat]


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("serve", {}, r"no signature 'serve', but \['echo_bool', .*'scale'\]"),
        ("scale", {"x": np.float32(1)}, r"'scale' takes the inputs \['times', 'x'\], and was given \['x'\]"),
        ("look_up", {"words": np.array(["cat"]), "x": np.ones(1)}, r"was given \['words', 'x'\]"),
        ("scale", {"x": np.float64(1), "times": np.int32(1)}, "'x' .* takes float32, and was given float64"),
        ("scale", {"x": np.float32(1), "times": np.int64(1)}, "'times' .* takes int32, and was given int64"),
        ("look_up", {"words": np.array([b"cat", 1], object)}, "takes bytes or str, and was given int"),
    ],
)
def test_inputs_that_do_not_fit(fresh, saved_model, signature, inputs, message):
    with pytest.raises(ValueError, match=message):
        fresh(run, saved_model, signature, inputs)


def test_closed_session(fresh, saved_model):
    with pytest.raises(ValueError, match="closed"):
        fresh(run_closed, saved_model)


def test_errors_of_tensorflow(fresh, saved_model, tmp_path):
    with pytest.raises(RuntimeError, match=r"5 values.*shape has 6"):
        fresh(run, saved_model, "fail", {"sizes": np.array([2, 3], np.int32)})
    with pytest.raises(RuntimeError, match="Could not find SavedModel"):
        fresh(read_signatures, tmp_path)


def test_memory_is_released(fresh, saved_model):
    assert fresh(measure_growth, saved_model) < 40_000_000


def test_script(saved_model):
    command = [sys.executable, "-m", "unroll.serving.c_api", str(saved_model), "look_up"]
    given = json.dumps({"words": ["dog", "\u7da0"]})
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {
        "ids": [1, -1],
        "known": [True, False],
        "named": ["dog1", "\u7da0-1"],
    }
