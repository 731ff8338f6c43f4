"""Requests that share batches, and what happens when there are too many."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from served import Limits, serving

from unroll.common.errors import FailedError, UserError
from unroll.serving.remote import ServerError
from unroll.serving.server import main
from unroll.serving.server.batching import BatchingParameters
from unroll.serving.server.options import ServerOptions
from unroll.serving.server.version import Version
from unroll.serving.warmup import read_warmup_requests
from unroll.tasks import cli

PATIENT = 20_000_000  # Microseconds: no request is left alone for so long.


@pytest.fixture(params=["exported_model", "exported_translation", "exported_language_model"])
def exported(request):
    return request.getfixturevalue(request.param)


def loaded(directory, batching):
    version = Version(1, directory / "1", batching)
    version.load("model", warm_up=False)
    assert version.error is None
    return version


def test_batches_give_the_answers_of_single_requests(exported):
    """The warm-up requests of each signature at the same time: they fill a batch."""
    alone, requests, batched = loaded(exported, None), {}, {}
    for signature, inputs in read_warmup_requests(exported / "1" / "assets.extra"):
        requests.setdefault(signature, []).append(inputs)
    for signature, several in requests.items():
        rows = sum(len(next(iter(inputs.values()))) for inputs in several)
        if rows not in batched:
            batched[rows] = loaded(exported, BatchingParameters(rows, PATIENT, 10, 1))
        with ThreadPoolExecutor(len(several)) as threads:
            running = [threads.submit(batched[rows].run, signature, inputs, 60) for inputs in several]
            found = [one.result(timeout=PATIENT / 1e6 - 1) for one in running]
        for inputs, answer in zip(several, found, strict=True):
            assert_same(answer, alone.run(signature, inputs, 60))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # The companions of a request may make its padding longer.
        array = found[name][tuple(slice(size) for size in value.shape)]
        if value.dtype == object:
            assert array.tolist() == value.tolist()
        else:
            np.testing.assert_allclose(array, value, atol=1e-4)
        assert found[name].size == value.size or not found[name].ravel()[-1]


def test_requests_larger_than_a_batch_and_without_rows_run_alone(exported_model):
    version = loaded(exported_model, BatchingParameters(2, PATIENT, 10, 1))
    for rows in (0, 3):
        texts = np.array([b"dull"] * rows, object)
        assert len(version.run("serving_default", {"text": texts}, 60)["label"]) == rows


BATCHING = """
max_batch_size {{ value: {rows} }} batch_timeout_micros {{ value: {micros} }}
max_enqueued_batches {{ value: 1 }} num_batch_threads {{ value: 1 }}
"""
BODY = {"inputs": ["the red house"]}
PATH = "/v1/models/translation:predict"


def test_too_many_requests_are_refused_at_once_and_the_server_recovers(exported_translation, tmp_path):
    """Two requests wait a second for a third, which would fill their batch, but is refused."""
    batching = BATCHING.format(rows=3, micros=1_000_000)
    with serving({"translation": exported_translation}, tmp_path, Limits(in_flight=2), batching) as served:
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(served.post, PATH, BODY) for _ in range(2)]
            while "requests_in_flight 2.0" not in served.client.get("/monitoring/prometheus/metrics").text:
                pass
            answer = served.client.post(PATH, json=BODY)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json() == {"error": "The server is busy with 2 requests; try again in a moment."}
            assert not any(one.done() for one in waiting)
            model = served.models["translation"]
            remote = served.connected("translation", "grpc")
            with pytest.raises(ServerError, match="busy with 2 requests"):
                remote.translate(["a"])
            assert [one.result()[0] for one in waiting] == [200, 200]
        assert served.post(PATH, BODY)[0] == 200
        assert remote.translate(["a"])[0].text == model.translate(["a"])[0].text


def test_a_full_queue_refuses_at_once_and_the_server_recovers(exported_translation, tmp_path):
    # On a busy machine, 64 clients may take long to send their requests.
    limits, batching = Limits(seconds=300, body_seconds=300), BATCHING.format(rows=1, micros=0)
    with serving(
        {"translation": exported_translation}, tmp_path, limits, batching, rest_api_num_threads=64
    ) as served:
        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(lambda _: served.post(PATH, BODY), range(192)))
        refused = [answer for status, answer in answers if status == 503]
        assert refused
        assert refused[0] == {"error": "The queue of the model is full; try again in a moment."}
        assert {status for status, _ in answers} == {200, 503}
        assert served.post(PATH, BODY)[0] == 200


def test_requests_that_wait_for_a_thread_are_counted_and_in_time(exported_translation, tmp_path):
    """One thread: the first request waits a second for companions, the second for its thread, the third is refused."""
    limits, batching = Limits(in_flight=2, seconds=1.5), BATCHING.format(rows=3, micros=1_000_000)
    with (
        serving(
            {"translation": exported_translation}, tmp_path, limits, batching, rest_api_num_threads=1
        ) as served,
        ThreadPoolExecutor(2) as threads,
    ):
        waiting = [threads.submit(served.post, PATH, BODY) for _ in range(2)]
        while "requests_in_flight 2.0" not in served.client.get("/monitoring/prometheus/metrics").text:
            pass
        assert served.post(PATH, BODY)[0] == 503
        statuses = {one.result()[0] for one in waiting}
        assert 504 in statuses <= {200, 504}


def test_an_answer_that_takes_too_long(exported_translation, tmp_path):
    batching = BATCHING.format(rows=3, micros=3_000_000)
    with serving({"translation": exported_translation}, tmp_path, Limits(seconds=0.2), batching) as served:
        status, answer = served.post(PATH, BODY)
        assert status == 504
        assert answer == {"error": "The answer took too long; send less text or fewer rows."}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batching_parameters_file=x"], "has an effect only with --enable_batching; add it"),
        (["--model_base_path=nowhere"], "nowhere holds no version of a model"),
        (["--model_name=other"], "--model_name=other has an effect only with --model_base_path"),
        (["--model_base_path=1", "--model_name=a/b"], "servers cannot address a model with the name 'a/b'"),
        (["--model_base_path=1", "--model_name="], "--model_name= gives the model no name"),
        (["--port=9", "--rest_api_port=9"], "--port=9 and --rest_api_port=9 are the same"),
        (["--port=many"], "give a whole number"),
        (["--rest_api_port=70000"], "rest_api_port"),
        (["--host=256.1.1.1"], "--host=256.1.1.1 --rest_api_port=0 cannot be used"),
        (["models"], "takes no argument 'models'"),
    ],
)
def test_wrong_flags(exported_model, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(exported_model)
    given = [] if "--rest_api_port=70000" in flags else ["--rest_api_port=0"]
    assert cli.main(["serve", "--port=0", *given, *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_port_in_use(served, exported_model, monkeypatch):
    monkeypatch.chdir(exported_model)
    port = int(served.rest.rpartition(":")[2])
    with pytest.raises(UserError, match=f"--rest_api_port={port} cannot be used: Address already in use"):
        main.Server(ServerOptions(rest_api_port=port, port=0))


def test_no_model_can_be_loaded(exported_model, tmp_path):
    shutil.copytree(exported_model / "1", tmp_path / "model" / "1")
    (tmp_path / "model" / "1" / "saved_model.pb").write_bytes(b"damaged")
    options = ServerOptions(model_base_path=str(tmp_path / "model"), rest_api_port=0, port=0)
    with pytest.raises(FailedError, match="No model can be loaded"):
        main.Server(options)
