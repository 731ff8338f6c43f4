"""A SavedModel in this process: its memory, threads, forked processes, pickles, and wrong inputs."""

import copy
import gc
import multiprocessing
import os
import pickle
import threading
import time

import numpy as np
import pytest

import unroll.serving
from unroll.common.errors import UserError
from unroll.serving.python_api import PythonSession
from unroll.serving.saved_model import SavedModel

TEXTS = ["A lovely film.", "", "It was dull, said Amélie."]


@pytest.fixture(scope="module")
def model(exported_model):
    return unroll.serving.load(exported_model)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_loading_again_and_again_takes_no_more_memory(exported_model, model):
    expected = model.classify(TEXTS)
    for number in range(7):
        if number == 2:
            gc.collect()
            before = resident()
        assert unroll.serving.load(exported_model).classify(TEXTS) == expected
    gc.collect()
    # TensorFlow's Python loader keeps 250 MB of these five; the allocator keeps some for the next.
    assert resident() - before < 60_000_000


def test_a_closed_model_says_so(exported_model):
    with unroll.serving.load(exported_model) as model:
        assert len(model.classify(TEXTS)) == 3
    model.close()
    with pytest.raises(UserError, match=r"The model is closed; load it again\."):
        model.classify(TEXTS)


def test_closing_waits_for_the_calls_of_other_threads(exported_model, model):
    expected, closing = model.classify(TEXTS * 20), unroll.serving.load(exported_model)
    found, begun = [], threading.Barrier(5)

    def work():
        begun.wait()
        try:
            while True:
                found.append(closing.classify(TEXTS * 20))
        except UserError as error:
            found.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    while len(found) < 4:
        time.sleep(0.001)
    closing.close()
    for thread in threads:
        thread.join()
    assert found.count("The model is closed; load it again.") == 4
    assert all(result == expected for result in found if isinstance(result, list))


def test_a_pickle_loads_the_same_version_again(exported_model, model, tmp_path, monkeypatch):
    content = pickle.dumps(model)
    assert len(content) < 1000
    monkeypatch.chdir(tmp_path)
    for again in (pickle.loads(content), copy.deepcopy(model)):
        assert again.backend is not model.backend
        assert again.classify(TEXTS) == model.classify(TEXTS)


def test_a_forked_process_is_refused_in_a_sentence(exported_model, model):
    def answers(send):
        for call in (lambda: model.classify(TEXTS), lambda: unroll.serving.load(exported_model)):
            try:
                send.send(call())
            except UserError as error:
                send.send(str(error))

    fork = multiprocessing.get_context("fork")
    receive, send = fork.Pipe(duplex=False)
    child = fork.Process(target=answers, args=(send,))
    child.start()
    for _ in range(2):
        assert receive.poll(30)
        assert "forked after a model was loaded" in receive.recv()
    child.join(30)
    assert child.exitcode == 0
    assert len(model.classify(TEXTS)) == 3


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"texts": ["a"]}, "'serving_default' takes the inputs text, but was given texts"),
        ({}, "takes the inputs text, but was given none"),
        ({"text": [1]}, "'text' .* takes bytes or str, and was given int"),
        ({"text": [["a"], ["a", "b"]]}, "'text' .* takes bytes or str, and was given list"),
    ],
)
def test_inputs_of_a_signature(model, inputs, said):
    with pytest.raises(UserError, match=said):
        model.call("serving_default", inputs)


@pytest.mark.parametrize("path", [None, 3, b"exports", ["exports"], True])
def test_a_path_that_is_none(path):
    with pytest.raises(UserError, match=r"^path is .*; give the directory of an exported model\.$"):
        unroll.serving.load(path)


def test_both_loaders_answer_alike(model):
    other = type(model)(SavedModel(model.backend.directory, PythonSession))
    for found, expected in zip(other.classify(TEXTS), model.classify(TEXTS), strict=True):
        assert found.label == expected.label
        np.testing.assert_allclose(found.score, expected.score, atol=1e-6)
    with pytest.raises(UserError, match="takes the inputs text, but was given none"):
        other.call("serving_default", {})
    other.close()
    with pytest.raises(UserError, match="closed"):
        other.classify(["a"])
