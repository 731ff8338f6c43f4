"""TensorFlow Serving's interfaces, REST and gRPC: against `unroll serve`, or with --target against another server."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time

import grpc
import httpx2
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from served import write_models_config
from serving_process import free_port
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from unroll.common.errors import UserError
from unroll.tasks import cli

TEXTS = ["The film was wonderful.", "", "Dull, dull, dull. ☕ مرحبا"]
SENTENCES = ["a red dog", "", "the dog the dog"]


def as_numbers(results):
    """Results as a flat list, for comparison by tolerance."""
    return [value for result in results for value in result]


@pytest.mark.parametrize("scheme", ["rest", "grpc"])
class TestClients:
    """The classes of `connect` give the results of `load`."""

    def test_classify(self, served, scheme):
        texts = TEXTS * 3
        here, there = (
            model.classify(texts)
            for model in (served.models["sentiment"], served.connected("sentiment", scheme))
        )
        assert [(one.text, one.label) for one in here] == [(one.text, one.label) for one in there]
        for one, other in zip(here, there, strict=True):
            assert other.score == pytest.approx(one.score, abs=1e-5)
            assert other.probabilities == pytest.approx(one.probabilities, abs=1e-5)

    def test_translate_align_and_score(self, served, scheme):
        here, there = served.models["translation"], served.connected("translation", scheme)
        translated = [model.translate(SENTENCES, n_best=2) for model in (here, there)]
        assert [one[:2] for one in translated[0]] == [one[:2] for one in translated[1]]
        for one, other in zip(*translated, strict=True):
            assert [text for text, _ in one.n_best] == [text for text, _ in other.n_best]
            assert other.score == pytest.approx(one.score, abs=1e-4)
        for one, other in zip(here.align(SENTENCES), there.align(SENTENCES), strict=True):
            assert one[:2] == other[:2]
            np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)
        scores = [model.score(SENTENCES, SENTENCES[::-1]) for model in (here, there)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)

    def test_predict(self, served, scheme, capsys):
        if not getattr(served, scheme):
            pytest.skip(f"--target names no {scheme} address.")
        assert cli.main(["predict", f"--model={getattr(served, scheme)}/sentiment", "A film.", "Dull."]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["text"] for line in lines] == ["A film.", "Dull."]
        assert lines[0]["label"] == served.models["sentiment"].classify(["A film."])[0].label

    def test_a_forked_process(self, served, scheme, monkeypatch):
        """Over REST it opens connections of its own; gRPC does not work there, which one sentence says at once."""
        model = served.connected("sentiment", scheme)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        if scheme == "rest":
            assert len(model.classify(["A film."])) == 1
        else:
            with pytest.raises(UserError, match="opened before this process was forked; call connect"):
                model.classify(["A film."])

    def test_a_pickle_connects_again_and_a_closed_model_says_so(self, served, scheme):
        model = served.connected("sentiment", scheme)
        with pickle.loads(pickle.dumps(model)) as another:
            assert another.classify(["A film."]) == model.classify(["A film."])
        with pytest.raises(UserError, match="The model is closed; connect to it again"):
            another.classify(["A film."])

    @pytest.mark.parametrize(
        "inputs",
        [{}, {"text": [1]}, {"text": [["a"]]}, {"text": [b"a"], "more": [b"a"]}, {"text": [[b"a"], b"b"]}],
    )
    def test_wrong_inputs(self, served, scheme, inputs):
        with pytest.raises(UserError, match=r"text|more"):
            served.connected("sentiment", scheme).call("serving_default", inputs)

    def test_no_rows(self, served, scheme):
        assert served.connected("sentiment", scheme).classify([]) == []

    def test_threads_share_a_model(self, served, scheme):
        model, found = served.connected("sentiment", scheme), {}

        def classify(number):
            found[number] = [model.classify([f"number {number}"])[0] for _ in range(5)]

        threads = [threading.Thread(target=classify, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(result.text == f"number {key}" for key in range(8) for result in found[key])


def test_rows_and_columns(served):
    """As TensorFlow Serving documents them."""
    path = "/v1/models/sentiment:predict"
    expected = served.models["sentiment"].call("serving_default", {"text": [text.encode() for text in TEXTS]})
    status, columns = served.post(path, {"inputs": {"text": TEXTS}})
    assert (status, columns.keys()) == (200, {"outputs"})
    for body in ({"inputs": TEXTS}, {"signature_name": "serving_default", "inputs": TEXTS}):
        assert served.post(path, body) == (200, columns)
    assert columns["outputs"].keys() == expected.keys()
    assert columns["outputs"]["label"] == [label.decode() for label in expected["label"]]
    np.testing.assert_allclose(columns["outputs"]["probabilities"], expected["probabilities"], atol=1e-5)
    rows = [{name: values[row] for name, values in columns["outputs"].items()} for row in range(len(TEXTS))]
    for instances in (TEXTS, [{"text": text} for text in TEXTS]):
        assert served.post(path, {"instances": instances}) == (200, {"predictions": rows})


def test_a_single_output_stands_without_its_name(served):
    path, texts = "/v1/models/translation:predict", {"source": SENTENCES, "target": SENTENCES}
    status, columns = served.post(path, {"signature_name": "score", "inputs": texts})
    expected = served.models["translation"].score(SENTENCES, SENTENCES)
    assert (status, columns["outputs"]) == (200, pytest.approx(expected, abs=1e-4))
    instances = [{"source": text, "target": text} for text in SENTENCES]
    assert served.post(path, {"signature_name": "score", "instances": instances}) == (
        200,
        {"predictions": columns["outputs"]},
    )


def test_bytes_are_sent_as_base64(served):
    path = "/v1/models/sentiment:predict"
    plain = served.post(path, {"inputs": ["ab", "a"]})
    # With padding and without, and with a line break.
    for values in ([{"b64": "YWI="}, {"b64": "YQ=="}], [{"b64": "YWI"}, {"b64": "YQ\n=="}]):
        assert served.post(path, {"inputs": values}) == plain


@pytest.mark.parametrize("which", ["", "/versions/1", "/labels/stable"])
def test_versions_labels_status_and_metadata(served, which):
    if which.startswith("/labels") and not served.is_ours:
        pytest.skip("The labels of --target are unknown.")
    path = f"/v1/models/translation{which}"
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert served.get(path) == (200, {"model_version_status": [available]})
    status, metadata = served.get(f"{path}/metadata")
    assert (status, metadata["model_spec"]) == (
        200,
        {"name": "translation", "signature_name": "", "version": "1"},
    )
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    score = signatures["score"]
    assert score["inputs"].keys() == {"source", "target"}
    assert score["outputs"]["log_probability"]["dtype"] == "DT_FLOAT"
    assert score["outputs"]["log_probability"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert score["method_name"] == "tensorflow/serving/predict"
    assert served.post(f"{path}:predict", {"inputs": SENTENCES})[0] == 200


def stubs(served):
    if not served.grpc:
        pytest.skip("--target names no grpc address.")
    channel = grpc.insecure_channel(served.grpc.removeprefix("grpc://"))
    return channel, prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(texts, name="sentiment"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts, tf.string))
    return request


def test_grpc_predict(served):
    request = predict_request(["A wonderful film."])
    answer = stubs(served)[1].Predict(request)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("sentiment", 1)
    assert answer.model_spec.signature_name == "serving_default"
    assert answer.outputs.keys() >= {"label", "score", "labels", "probabilities"}
    request.output_filter.append("label")
    assert stubs(served)[1].Predict(request).outputs.keys() == {"label"}


def test_grpc_metadata_status_and_health(served):
    channel, prediction = stubs(served)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "sentiment"
    answer = prediction.GetModelMetadata(request)
    described = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(described)
    assert "serving_default" in described.signature_def
    status = get_model_status_pb2.GetModelStatusRequest()
    text_format.Parse('model_spec { name: "sentiment" version { value: 1 } }', status)
    (version,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status).model_version_status
    assert (version.version, version.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    if served.is_ours:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_metrics(served):
    served.post("/v1/models/sentiment:predict", {"inputs": TEXTS})
    served.post("/v1/models/sentiment:predict", {"inputs": 7})
    answer = served.client.get("/monitoring/prometheus/metrics")
    if answer.status_code != 200 and not served.is_ours:
        pytest.skip("--target shows no metrics.")
    lines = answer.text.splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    (count,) = [
        line
        for line in lines
        if line.startswith(':tensorflow:serving:request_count{model_name="sentiment",status="OK"')
    ]
    assert float(count.split()[-1]) > 0
    assert any(
        ":tensorflow:serving:request_latency_bucket{" in line and 'entrypoint="REST"' in line
        for line in lines
    )


def test_tensorflow_serving_passes_these_tests(request, tmp_path, exported_model, exported_translation):
    if request.config.getoption("--target"):
        pytest.skip("It is the --target.")
    binary = shutil.which("tensorflow_model_server")
    if binary is None:
        pytest.skip("tensorflow_model_server is not installed; --target=URL tests a server elsewhere.")
    for path in (exported_model, exported_translation):
        (tmp_path / path.name).symlink_to(path)
    config = write_models_config(
        {path.name: path for path in (exported_model, exported_translation)}, tmp_path
    )
    rest, remote = free_port(), free_port()
    flags = [f"--rest_api_port={rest}", f"--port={remote}", f"--model_config_file={config}"]
    with subprocess.Popen([binary, *flags, "--allow_version_labels_for_unavailable_models"]) as server:
        try:
            wait_for(f"http://127.0.0.1:{rest}/v1/models/translation", server)
            target = f"--target=http://127.0.0.1:{rest},grpc://127.0.0.1:{remote}"
            command = [sys.executable, "-m", "pytest", __file__, target, f"--target_models={tmp_path}"]
            assert subprocess.run(command, check=False).returncode == 0
        finally:
            server.terminate()


def wait_for(url, server):
    """Waits until a model is available, or its server has ended."""
    while server.poll() is None:
        try:
            if "AVAILABLE" in httpx2.get(url).text:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
