"""Clients of a server: the classes and results of a loaded model, over TensorFlow Serving's interface."""

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx2
import numpy as np
import pytest

from unroll.common.errors import UserError
from unroll.serving import connect, remote
from unroll.serving.applications import application_of, model_of
from unroll.serving.remote import ServerError, UnavailableError, is_address, parse_address
from unroll.serving.rest_backend import RestBackend
from unroll.tasks import cli


def described(**tensors):
    """Inputs or outputs of a signature as TensorFlow Serving's metadata describes them."""
    return {
        name: {
            "dtype": dtype,
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in sizes],
                "unknown_rank": False,
            },
            "name": f"{name}:0",
        }
        for name, (dtype, *sizes) in tensors.items()
    }


SENTIMENT = {
    "serving_default": {
        "inputs": described(text=("DT_STRING", -1)),
        "outputs": described(
            label=("DT_STRING", -1),
            score=("DT_FLOAT", -1),
            labels=("DT_STRING", -1, 2),
            probabilities=("DT_FLOAT", -1, 2),
            known_tokens=("DT_INT32", -1),
            truncated=("DT_BOOL", -1),
        ),
        "method_name": "tensorflow/serving/predict",
    },
    "__saved_model_init_op": {"inputs": {}, "outputs": described(__saved_model_init_op=("DT_INVALID",))},
}
LABELLED = {
    "label": ["good"],
    "score": [0.75],
    "labels": [["bad", "good"]],
    "probabilities": [[0.25, 0.75]],
    "known_tokens": [1],
    "truncated": [False],
}


class Server:
    """Answers like TensorFlow Serving: metadata, and a given list of answers to predictions."""

    def __init__(self, *answers, signatures=SENTIMENT):
        self.answers, self.requests = list(answers), []
        self.metadata = {
            "model_spec": {"name": "demo", "signature_name": "", "version": "1"},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }

    def __call__(self, request):
        self.requests.append(request)
        if request.method == "GET":
            return httpx2.Response(200, json=self.metadata)
        answer = self.answers.pop(0)
        return answer(request) if callable(answer) else answer

    def backend(self, url="http://server/demo", deadline=60.0):
        return RestBackend(parse_address(url), deadline, httpx2.MockTransport(self))

    def model(self):
        backend = self.backend()
        return model_of(application_of(backend.signatures, "server"), backend, "server")


@pytest.fixture
def pauses(monkeypatch):
    """The pauses before retries, which take no time."""
    taken = []
    monkeypatch.setattr(remote.time, "sleep", taken.append)
    return taken


def ok(outputs):
    return httpx2.Response(200, json={"outputs": outputs})


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("http://localhost:8501", "demo", "http://localhost:8501/v1/models/demo"),
        ("http://localhost:8501/demo", None, "http://localhost:8501/v1/models/demo"),
        ("http://localhost:8501/v1/models/demo/", None, "http://localhost:8501/v1/models/demo"),
        ("http://h/v1/models/demo/versions/12", None, "http://h/v1/models/demo/versions/12"),
        ("https://h/v1/models/demo/labels/stable", None, "https://h/v1/models/demo/labels/stable"),
        ("https://h/behind/v1/models/demo", None, "https://h/behind/v1/models/demo"),
        ("http://h/Film%20Reviews", None, "http://h/v1/models/Film Reviews"),
        ("grpc://[::1]:8500/demo", "demo", "grpc://[::1]:8500/v1/models/demo"),
    ],
)
def test_addresses(url, name, expected):
    assert str(parse_address(url, name)) == expected


@pytest.mark.parametrize(
    ("url", "name", "message"),
    [
        ("localhost:8501", "demo", "'localhost:8501' is not the URL of a server; give one, such as"),
        ("ftp://h/demo", None, "not the URL of a server"),
        ("http://", "demo", "not the URL of a server"),
        ("http://h:port", "demo", "not the URL of a server"),
        (7, "demo", "7 is not the URL"),
        ("http://h", 7, "name is 7; give the name of a model"),
        ("http://h", None, "http://h does not name a model; add its name, such as http://h/demo."),
        ("http://h/a/b", None, "does not name a model"),
        ("http://h/demo", "other", "names the model 'demo', but the name given is 'other'"),
        ("http://h/v1/models/demo/versions/two", None, "asks for the version 'two'; give a number"),
    ],
)
def test_wrong_addresses(url, name, message):
    with pytest.raises(UserError, match=f"(?s).*{message}"):
        connect(url, name)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("http://h/x", True), ("grpc://h", True), ("exports/demo", False), ("C:/x", False)],
)
def test_addresses_and_paths(model, expected):
    assert is_address(model) is expected


def test_a_deadline_is_positive():
    with pytest.raises(UserError, match="deadline is 0; give a number of seconds above 0"):
        connect("http://localhost:1", "demo", deadline=0)


def test_a_model_has_the_class_and_the_results_of_its_application():
    server = Server(ok(LABELLED))
    (result,) = server.model().classify(text for text in ["A triumph. ☕"])
    assert result == ("A triumph. ☕", "good", 0.75, {"bad": 0.25, "good": 0.75}, 1, False)
    request = server.requests[-1]
    assert request.url.path == "/v1/models/demo:predict"
    assert json.loads(request.content) == {
        "signature_name": "serving_default",
        "inputs": {"text": ["A triumph. ☕"]},
    }


def test_versions_and_labels_are_asked_for():
    for which in ("versions/3", "labels/stable"):
        server = Server(ok(LABELLED))
        server.backend(f"http://server/v1/models/demo/{which}").call("serving_default", {"text": [b"x"]})
        paths = [request.url.path for request in server.requests]
        assert paths == [f"/v1/models/demo/{which}/metadata", f"/v1/models/demo/{which}:predict"]


def test_inputs_and_outputs_keep_their_bytes_and_types():
    signatures = {
        "step": {
            "inputs": described(image=("DT_STRING", -1), temperature=("DT_FLOAT", -1), k=("DT_INT32", -1)),
            "outputs": described(character=("DT_STRING", -1), state=("DT_FLOAT", -1, 2), n=("DT_INT64", -1)),
        }
    }
    # TensorFlow Serving writes the bytes of a string unchanged, even half a character.
    content = (
        b'{"outputs": {"character": ["\xc3", {"b64": "/w=="}], "state": [[0.1, NaN], [1, 2]], "n": [1, 2]}}'
    )
    server = Server(httpx2.Response(200, content=content), signatures=signatures)
    outputs = server.backend().call(
        "step", {"image": [b"\xff\x00", b"a"], "temperature": [0, np.float32(0.5)], "k": np.array([1, 2])}
    )
    assert json.loads(server.requests[-1].content)["inputs"] == {
        "image": [{"b64": base64.b64encode(b"\xff\x00").decode()}, "a"],
        "temperature": [0.0, 0.5],
        "k": [1, 2],
    }
    assert outputs["character"].tolist() == [b"\xc3", b"\xff"]
    assert (outputs["state"].dtype, outputs["n"].dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(outputs["state"], np.float32([[0.1, np.nan], [1, 2]]))


def test_a_single_output_stands_without_its_name():
    signatures = {
        "score": {
            "inputs": described(source=("DT_STRING", -1)),
            "outputs": described(log_probability=("DT_FLOAT", -1)),
        }
    }
    outputs = Server(ok([-1.5]), signatures=signatures).backend().call("score", {"source": [b"a"]})
    assert {name: value.tolist() for name, value in outputs.items()} == {"log_probability": [-1.5]}


def test_no_rows_keep_their_dimensions():
    outputs = (
        Server(ok({name: [] for name in LABELLED}))
        .backend()
        .call("serving_default", {"text": np.array([], object)})
    )
    assert outputs["probabilities"].shape == (0, 2)


def test_an_unknown_signature_is_named():
    with pytest.raises(UserError, match="no signature 'n_best'; choose one of serving_default"):
        Server().backend().call("n_best", {"text": []})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "inputs is None; give a dictionary of the inputs by name"),
        (
            {"text": [object()]},
            "The inputs of 'serving_default' cannot be sent: Object of type object is not",
        ),
    ],
)
def test_inputs_that_cannot_be_sent(inputs, message):
    with pytest.raises(UserError, match=message):
        Server().model().call("serving_default", inputs)


def test_a_model_of_another_origin_is_refused():
    signatures = {"serving_default": {"inputs": {}, "outputs": described(output_0=("DT_FLOAT", -1))}}
    with pytest.raises(UserError, match=r"has the signatures serving_default, and is not a model made by"):
        Server(signatures=signatures).model()


@pytest.mark.parametrize("status", [400, 404])
def test_the_caller_s_mistakes_are_not_retried(pauses, status):
    server = Server(httpx2.Response(status, json={"error": "No such thing."}))
    with pytest.raises(UserError, match=r"server/v1/models/demo: No such thing\."):
        server.model().classify(["a"])
    assert not pauses


def unreachable(request):
    raise httpx2.ConnectError("Connection refused", request=request)


def test_an_unavailable_server_is_asked_again_with_growing_pauses(pauses):
    busy = httpx2.Response(503, json={"error": "The queue is full."})
    server = Server(busy, unreachable, busy, ok(LABELLED))
    assert server.model().classify(["a"])[0].label == "good"
    assert [round(pause / 0.1) for pause in pauses] == pytest.approx([1, 2, 4], rel=0.25)


def test_a_server_that_stays_unavailable_says_so(pauses):
    with pytest.raises(
        UnavailableError, match=r"http://server/v1/models/demo cannot be reached: Connection refused\."
    ):
        Server(*[unreachable] * remote.ATTEMPTS).model().classify(["a"])
    assert len(pauses) == remote.ATTEMPTS - 1


def test_no_retry_starts_after_the_deadline(pauses):
    with pytest.raises(UnavailableError):
        Server(unreachable).backend(deadline=0.05).call("serving_default", {"text": [b"a"]})
    assert not pauses


def slow(request):
    raise httpx2.ReadTimeout("", request=request)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (slow, "did not answer within 60 seconds"),
        (httpx2.Response(500, json={"error": "Out of memory."}), "Out of memory"),
        (httpx2.Response(429, json={"error": "Too many."}), "Too many"),
        (
            httpx2.Response(200, text="<html>"),
            "answered with status 200 and no JSON object; is it a model server",
        ),
        (httpx2.Response(502, json=[]), "answered with status 502 and no JSON object"),
        (ok({"label": ["good"]}), "gave an answer that does not fit its metadata"),
        (ok(LABELLED | {"score": ["many"]}), "gave an answer that does not fit its metadata"),
    ],
)
def test_other_failures_are_the_server_s_and_not_retried(pauses, answer, message):
    with pytest.raises(ServerError, match=message):
        Server(answer).model().classify(["a"])
    assert not pauses


_PROGRAM = """
import sys, time
started = time.process_time()
import unroll.serving
from unroll.serving.remote import UnavailableError
try:
    unroll.serving.connect("http://127.0.0.1:1", "demo", deadline=0.01)
except UnavailableError as error:
    print(error)
print({"tensorflow", "keras", "grpc", "matplotlib"} & {*sys.modules}, time.process_time() - started)
"""


def test_connecting_over_rest_imports_no_tensorflow_and_starts_at_once():
    result = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    error, imported = result.stdout.splitlines()
    assert error.startswith("http://127.0.0.1:1/v1/models/demo cannot be reached: ")
    assert imported.startswith("set() ")
    # Of the processor: the machine may be busy.
    assert float(imported.split()[1]) < 1


def test_predict_names_an_unreachable_server(capsys, pauses):
    assert cli.main(["predict", "--model=http://127.0.0.1:1/demo", "a text"]) == 1
    assert "http://127.0.0.1:1/v1/models/demo cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "attempts"), [("UNAVAILABLE", 3), ("RESOURCE_EXHAUSTED", 1), ("INTERNAL", 1)]
)
def test_grpc_retries_unavailable_servers_alone(code, attempts):
    """A server that fails twice, then knows no such model."""
    calls = []

    def fail(request, context):
        calls.append(request)
        context.abort(grpc.StatusCode[code if len(calls) < 3 else "NOT_FOUND"], "The reason.")

    handler = grpc.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService",
        {"GetModelMetadata": grpc.unary_unary_rpc_method_handler(fail)},
    )
    server = grpc.server(ThreadPoolExecutor(1), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises((UserError, ServerError), match=r"The reason\."):
        connect(f"grpc://127.0.0.1:{port}", "demo")
    server.stop(None)
    assert len(calls) == attempts
