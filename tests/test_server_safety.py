"""Wrong, hostile and unlucky requests: the right status code and one sentence, and other requests are answered."""

import json
import re
import socket
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_service_pb2_grpc

SENTIMENT, TRANSLATION = "/v1/models/sentiment:predict", "/v1/models/translation:predict"
TEN_THOUSAND = {f"key{number}": number for number in range(10_000)}


@pytest.fixture(autouse=True)
def _answers_afterwards(served):
    if not served.is_ours:
        pytest.skip("`unroll serve` is stricter than --target.")
    yield
    assert served.post(SENTIMENT, {"inputs": ["A film."]})[0] == 200


BODIES = {
    "empty": (b"", "is not JSON"),
    "cut": (b'{"inputs": ["a"', "is not JSON"),
    "not JSON": (b"text=A+film", "is not JSON"),
    "NaN": (b'{"inputs": [NaN]}', "is not JSON"),
    "deep lists": (b'{"inputs": ' + b"[" * 200_000, "is not JSON"),
    "deep objects": (b'{"inputs": ' * 50_000, "is not JSON"),
    "not UTF-8": (b'{"inputs": ["\xff\xfe"]}', "is not JSON"),
    "half a surrogate": (b'{"inputs": ["\\ud800"]}', "is not JSON"),
    "a list": ([1], "is not a JSON object"),
    "a number": (7, "is not a JSON object"),
    "no inputs": ({}, "not exactly one of the keys inputs and instances"),
    "inputs and instances": ({"inputs": ["a"], "instances": ["a"]}, "not exactly one of the keys"),
    "ten thousand keys": (TEN_THOUSAND, "not exactly one of the keys"),
    "ten thousand inputs": ({"inputs": TEN_THOUSAND}, "'text' is missing"),
    "null": ({"inputs": None}, "too few levels of lists; it takes 1 level"),
    "no list": ({"inputs": "a film"}, "too few levels"),
    "nested": ({"inputs": [["a"]]}, "too many levels"),
    "ragged": ({"inputs": ["a", ["b", "c"]]}, "too many levels"),
    "a number among strings": ({"inputs": ["a", 7]}, "holds 7; give strings"),
    "true among strings": ({"inputs": [True]}, "holds true; give strings"),
    "null among strings": ({"inputs": [None]}, "holds null; give strings"),
    "an object among strings": ({"inputs": [{"text": "a"}]}, "holds an object; give strings"),
    "no base64": ({"inputs": [{"b64": "ä"}]}, "is not base64"),
    "a letter of base64": ({"inputs": [{"b64": "A"}]}, "is not base64"),
    "base64 of a number": ({"inputs": [{"b64": 7}]}, "holds an object"),
    "missing": ({"inputs": {}}, "'text' is missing; the signature 'serving_default' takes text"),
    "extra": ({"inputs": {"text": ["a"], "more": [1]}}, "has no input 'more'; it takes text"),
    "instances empty": ({"instances": []}, "at least one row"),
    "instances no list": ({"instances": {"text": "a"}}, "at least one row"),
    "instances mixed": ({"instances": [{"text": "a"}, "b"]}, r"instances\[1\] is no object"),
    "instances with an extra key": (
        {"instances": [{"text": "a"}, {"text": "a", "b": 1}]},
        r"instances\[1\]: The signature 'serving_default' has no input 'b'",
    ),
    "a signature": ({"signature_name": "n_worst", "inputs": ["a"]}, "no signature 'n_worst'; choose one of"),
    "the loader's signature": ({"signature_name": "__saved_model_init_op", "inputs": []}, "no signature"),
    "the unbatched signature": (
        {"signature_name": "unbatched/serving_default", "inputs": []},
        "no signature",
    ),
    "a signature that is a list": ({"signature_name": ["a"], "inputs": ["a"]}, "is not a string"),
    "too many rows": ({"inputs": ["a"] * 201}, "has 201 rows; send at most 200"),
}


@pytest.mark.parametrize("case", BODIES)
def test_wrong_bodies(served, case):
    body, message = BODIES[case]
    status, answer = served.post(SENTIMENT, body)
    assert status == 400, answer
    check_sentence(answer, message)


def check_sentence(answer, message):
    """An error is one short sentence, and holds nothing of the request that a page might take for its own."""
    assert answer.keys() == {"error"}
    assert re.search(message, answer["error"]), answer
    assert len(answer["error"]) <= 500
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"source": ["a", "b"], "target": ["a"]}, "different numbers of rows: source 2, target 1"),
        ({"source": ["a"]}, "'target' is missing"),
        (["a"], "has several inputs"),
    ],
)
def test_wrong_inputs_of_several(served, inputs, message):
    status, answer = served.post(TRANSLATION, {"signature_name": "score", "inputs": inputs})
    assert status == 400
    check_sentence(answer, message)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/nobody:predict", 404, "There is no model 'nobody'; the models: sentiment, translation"),
        ("/v1/models/sentiment/versions/7:predict", 404, "no version 7 that answers; those that do: 1"),
        ("/v1/models/sentiment/versions/" + "9" * 30 + ":predict", 400, "Failed to convert version"),
        ("/v1/models/sentiment/versions/-1:predict", 400, "Malformed request"),
        ("/v1/models/sentiment/labels/canary:predict", 400, "no label 'canary'; the labels: stable"),
        ("/v1/models/sentiment:classify", 400, "Malformed request"),
        ("/v1/models/sentiment", 400, "Malformed request: POST"),
        ("/v1/models/:predict", 400, "Malformed request"),
        ("/v1/models/..%2f..%2fetc%2fpasswd:predict", 404, "There is no model '../../etc/passwd'"),
        ("/v1/models/%00:predict", 404, "There is no model"),
        ("/v1/models/%ff%fe:predict", 404, "There is no model"),
        ("/v1/models/" + "n" * 5000 + ":predict", 404, "There is no model"),
        ("/v1/models/%0d%0aSet-Cookie:%20x:predict", 404, "There is nothing at this path"),
        ("/../../etc/passwd", 404, "There is nothing at this path"),
        ("/v2/models/sentiment:predict", 404, "There is nothing at this path"),
    ],
)
def test_wrong_paths(served, path, status, message):
    # As it is: a client's library would tidy the path.
    answer = raw(
        served,
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n".encode() + b'{"inputs":["a"]}',
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), answer
    check_sentence(json.loads(body), message)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(served, method):
    answer = served.client.request(method, SENTIMENT)
    assert answer.status_code == 400
    assert answer.json() == {"error": f"Malformed request: {method} {SENTIMENT}"}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_is_too_large(served, chunked):
    body = [b'{"inputs": ["' + b"a" * 2**20 + b'"]}']
    answer = served.client.post(SENTIMENT, content=iter(body) if chunked else body[0])
    assert answer.status_code == 413
    check_sentence(answer.json(), "larger than 1,048,576 bytes; send fewer rows")


def test_security_headers(served):
    for path in ("/v1/models/sentiment", "/nowhere", "/monitoring/prometheus/metrics"):
        headers = served.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["content-type"].startswith(("application/json", "text/plain"))


def connection(served):
    host, port = served.rest.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def raw(served, request):
    """Sends bytes, and returns the answer."""
    with connection(served) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(65_536):
            answer += chunk
            head, _, body = answer.partition(b"\r\n\r\n")
            if b"content-length: " in head and len(body) >= int(
                head.split(b"content-length: ")[1].split()[0]
            ):
                break
        return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /v1/models/sentiment:predict HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/models/sentiment:predict HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
    ],
    ids=["TLS", "no path", "a negative length", "two lengths"],
)
def test_no_http(served, request_bytes):
    assert raw(served, request_bytes).startswith(b"HTTP/1.1 400")


def test_headers_without_end(served):
    with connection(served) as sock:
        sock.sendall(b"GET /v1/models/sentiment HTTP/1.1\r\n")
        answer = b""
        try:
            for number in range(10_000):
                sock.sendall(b"x-header-%d: %s\r\n" % (number, b"v" * 100))
        except OSError:
            pass
        try:
            answer = sock.recv(1000)
        except OSError:
            return  # Closed at once, which is as good.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


def test_a_slow_client_is_not_waited_for_and_holds_up_nobody(served):
    head = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
    with connection(served) as sock:
        sock.sendall(head + b'{"inputs": ["')
        started = time.monotonic()
        assert served.post(SENTIMENT, {"inputs": ["a"]})[0] == 200
        assert sock.recv(1000).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 10


def test_clients_that_close_their_connections(served):
    body = json.dumps({"inputs": ["the dog"] * 100}).encode()
    head = b"POST /v1/models/translation:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    for sent in (head, head + body[:10], head + body):
        with connection(served) as sock:
            sock.sendall(sent)
            # An abrupt end, by RST.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def tensor(values, dtype=tf.string):
    return tf.make_tensor_proto(values, dtype)


def huge(*sizes):
    """A few bytes that stand for a tensor of any size."""
    proto = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, string_val=[b"a"])
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
REQUESTS = {
    "no model": ({}, {}, NOT_FOUND, "There is no model ''"),
    "a model": ({"name": "nobody"}, {}, NOT_FOUND, "There is no model 'nobody'"),
    "a version": ({"name": "sentiment", "version": {"value": 9}}, {}, NOT_FOUND, "no version 9"),
    "a label": ({"name": "sentiment", "version_label": "x"}, {}, INVALID, "no label 'x'"),
    "a signature": ({"name": "sentiment", "signature_name": "x"}, {}, INVALID, "no signature 'x'"),
    "missing": ({"name": "sentiment"}, {}, INVALID, "'text' is missing"),
    "extra": ({"name": "sentiment"}, {"text": tensor(["a"]), "x": tensor(["a"])}, INVALID, "no input 'x'"),
    "a dtype": (
        {"name": "sentiment"},
        {"text": tensor([1.0], tf.float32)},
        INVALID,
        "type float32; give string",
    ),
    "a rank": ({"name": "sentiment"}, {"text": tensor([["a"]])}, INVALID, r"shape \[1, 1\]; give \[any\]"),
    "a scalar": ({"name": "sentiment"}, {"text": tensor("a")}, INVALID, r"shape \[\]; give \[any\]"),
    "rows": ({"name": "sentiment"}, {"text": huge(10**12)}, INVALID, "send at most 200"),
    "a negative size": ({"name": "sentiment"}, {"text": huge(-1)}, INVALID, r"shape \[-1\]"),
    "many dimensions": ({"name": "sentiment"}, {"text": huge(*[2] * 250)}, INVALID, "has the shape"),
    "no values": ({"name": "sentiment"}, {"text": tensor_pb2.TensorProto(dtype=99)}, INVALID, "shape"),
    "bytes that are no tensor": (
        {"name": "sentiment"},
        {
            "text": tensor_pb2.TensorProto(
                dtype=1, tensor_content=b"abc", tensor_shape=tensor(["a"]).tensor_shape
            )
        },
        INVALID,
        "no complete tensor",
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_wrong_grpc_requests(served, case):
    spec, inputs, code, message = REQUESTS[case]
    request = predict_pb2.PredictRequest(model_spec=spec, inputs=inputs)
    with pytest.raises(grpc.RpcError) as error:
        stub(served).Predict(request, timeout=20)
    assert error.value.code() == code, error.value.details()
    check_sentence({"error": error.value.details()}, message)


def stub(served):
    channel = grpc.insecure_channel(served.grpc.removeprefix("grpc://"))
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_other_grpc_requests(served):
    with pytest.raises(grpc.RpcError) as error:
        stub(served).Classify(classification_pb2.ClassificationRequest(), timeout=20)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    large = predict_pb2.PredictRequest(
        model_spec={"name": "sentiment"}, inputs={"text": tensor(["a" * 2**20])}
    )
    with pytest.raises(grpc.RpcError) as error:
        stub(served).Predict(large, timeout=20)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    channel = grpc.insecure_channel(served.grpc.removeprefix("grpc://"))
    garbage = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError):
        garbage(b"\xff" * 100, timeout=20)
