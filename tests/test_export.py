"""From a trained run to a published SavedModel and its answers."""

import itertools
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported import answered_without_training_code, not_verified
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tiny_training import best_model

import unroll.serving
from unroll.common.errors import UserError
from unroll.export import saved_model, verify
from unroll.export.bundle import Bundle, Signature
from unroll.export.examples import from_json, to_json
from unroll.export.saved_model import export
from unroll.export.verify import VerificationError
from unroll.models.options import SentimentOptions
from unroll.models.sentiment import SentimentClassifier
from unroll.models.text import WordCodec
from unroll.serving.sentiment import Classification
from unroll.tasks.sentiment import signatures
from unroll.tasks.sentiment.task import TASK

LABELS = ["negative", "neutral", "positive"]
TEXTS = [
    "A wonderful film.",
    "An awful kettle, and a dull one; boring, said Amélie.",
    "The usual",
    "",
    "It is wonderful. " * 30,
    "Nobody knows these words",
]


@pytest.fixture(scope="module")
def version(exported_model):
    return exported_model / "1"


@pytest.fixture(scope="module")
def model(exported_model):
    return unroll.serving.load(exported_model)


@pytest.fixture(scope="module")
def in_memory(trained_run):
    """The signature of the model that was never saved, with the best weights of the run."""
    data, model = best_model(trained_run)
    return TASK.bundle(model, data).signatures["serving_default"].function


@pytest.fixture
def unverified(monkeypatch):
    """Leaves out the verification, which takes most of the time of an export."""
    monkeypatch.setattr(saved_model, "verification", not_verified)


def call(model, texts):
    """The outputs of the exported graph for strings of bytes."""
    outputs = model.call("serving_default", {"text": texts})
    return outputs


def double(x):
    return {"doubled": 2 * x}


numbers = itertools.count()


def different_each_time_it_is_traced(x):
    return {"y": x + float(next(numbers))}


def bundle_of(function, shape=(None,), request=(1.0, 2.0)):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    request = {"x": np.array(request, np.float32)}
    signature = Signature(function, {"x": tf.TensorSpec(shape, tf.float32, "x")}, [request])
    return Bundle("sentiment", model, [], {"serving_default": signature})


# Contents of the file.


def test_version_directory_is_a_saved_model_and_nothing_partial_is_left(exported_model, version):
    assert {path.name for path in exported_model.iterdir()} == {
        "1",
        "models.config",
        "batching.config",
        "monitoring.config",
        "compose.yaml",
        "kubernetes.yaml",
    }
    assert tf.saved_model.contains_saved_model(str(version))
    # A server runs as another user.
    assert version.stat().st_mode & 0o777 == 0o755


def test_graph_has_both_ways_and_only_stock_ops(version):
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(
        (version / "saved_model.pb").read_bytes()
    ).meta_graphs
    library = meta_graph.graph_def.library.function
    nodes = [*meta_graph.graph_def.node, *(node for function in library for node in function.node_def)]
    ops = {node.op for node in nodes} - {function.signature.name for function in library}
    assert all(hasattr(tf.raw_ops, op) for op in ops)
    assert not any("PyFunc" in op for op in ops)
    assert ops >= {"CudnnRNNV3", "DeviceIndex"}
    assert not any(node.attr["_XlaMustCompile"].b for node in nodes)
    assert not any(function.attr["_XlaMustCompile"].b for function in library)


def test_signature(version):
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(
        (version / "saved_model.pb").read_bytes()
    ).meta_graphs
    names = [name for name in meta_graph.signature_def if not name.startswith("__")]
    assert sorted(names) == ["explain", "serving_default"]

    def described(tensors):
        return {
            name: (tf.dtypes.as_dtype(info.dtype), [dim.size for dim in info.tensor_shape.dim])
            for name, info in tensors.items()
        }

    signature = meta_graph.signature_def["serving_default"]
    assert described(signature.inputs) == {"text": (tf.string, [-1])}
    assert described(signature.outputs) == {
        "label": (tf.string, [-1]),
        "score": (tf.float32, [-1]),
        "probabilities": (tf.float32, [-1, len(LABELS)]),
        "labels": (tf.string, [-1, len(LABELS)]),
        "known_tokens": (tf.int32, [-1]),
        "truncated": (tf.bool, [-1]),
    }
    signature = meta_graph.signature_def["explain"]
    assert described(signature.inputs) == {"text": (tf.string, [-1])}
    assert described(signature.outputs) == {
        "label": (tf.string, [-1]),
        "score": (tf.float32, [-1]),
        "tokens": (tf.string, [-1, -1]),
        "contributions": (tf.float32, [-1, -1]),
    }


def test_file_holds_every_weight_once(version):
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    embeddings = [
        name for name, shape in shapes.items() if len(shape) == 2 and shape[1] == 8 and shape[0] > 8
    ]
    assert len(embeddings) == 1


# Answers.


def test_equals_the_model_in_memory(model, in_memory):
    ours, expected = call(model, TEXTS), in_memory(tf.constant(TEXTS))
    assert ours.keys() == expected.keys()
    for name in ("score", "probabilities"):
        np.testing.assert_allclose(ours[name], expected[name], atol=1e-5)
    for name in ("label", "labels"):
        assert ours[name].tolist() == expected[name].numpy().tolist()


def test_loads_in_a_fresh_process_without_the_training_code(exported_model, model):
    program = """
import unroll.serving as ue
json.dump(ue.load(sys.argv[1]).classify(json.load(sys.stdin)), sys.stdout)
"""
    answers = answered_without_training_code(program, exported_model, TEXTS)
    for (text, label, score, probabilities, *read), expected in zip(
        answers, model.classify(TEXTS), strict=True
    ):
        assert read == [expected.known_tokens, expected.truncated]
        assert (text, label) == (expected.text, expected.label)
        assert score == pytest.approx(expected.score, abs=1e-5)
        assert probabilities == pytest.approx(expected.probabilities, abs=1e-5)


def test_equals_what_the_c_api_answers(version, model):
    texts = [*TEXTS, "wonderful \0 film", "\N{GRINNING FACE}"]
    command = [sys.executable, "-m", "unroll.serving.c_api", str(version), "serving_default"]
    given = json.dumps({"text": texts})
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    answered, expected = json.loads(result.stdout), call(model, texts)
    assert answered.keys() == expected.keys()
    for name in ("score", "probabilities"):
        np.testing.assert_allclose(answered[name], expected[name], atol=1e-5)
    for name in ("label", "labels"):
        assert answered[name] == np.vectorize(bytes.decode)(expected[name]).tolist()


def test_has_learnt_which_label_is_which(model):
    results = model.classify(["a wonderful film", "an awful film", "the usual film"])
    assert [result.label for result in results] == ["positive", "negative", "neutral"]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_answers_depend_neither_on_companions_nor_on_the_batch(model, batch_size):
    together = call(model, TEXTS)["probabilities"]
    apart = [result.probabilities for result in model.classify(TEXTS, batch_size=batch_size)]
    np.testing.assert_allclose([list(row.values()) for row in apart], together, atol=1e-5)
    turned_round = call(model, TEXTS[::-1])["probabilities"][::-1]
    np.testing.assert_allclose(turned_round, together, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        (b"", b" \n\t "),
        (b"wonderful \xff\xfe film \xc3", b"wonderful film"),
        (b"wonderful\0film\0", b"wonderful film"),
        (b"<br />wonderful<br />film", b"wonderful film"),
        ("wonderful \N{GRINNING FACE} film".encode(), b"wonderful unheard film"),
        # The text is cut after 400 tokens.
        (b"wonderful " * 200_000, b"wonderful " * 400),
    ],
    ids=["empty", "invalid_utf8", "nul", "markup", "emoji", "200000_words"],
)
def test_odd_texts_are_answered(model, text, same_as):
    outputs = call(model, [text, b"An awful kettle.", same_as])
    assert np.isfinite(outputs["probabilities"]).all()
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"][0], outputs["probabilities"][2], atol=1e-5)


def test_classify_returns_typed_results_in_order(model):
    results = model.classify(TEXTS)
    assert [result.text for result in results] == TEXTS
    for result in results:
        assert isinstance(result, Classification)
        assert sorted(result.probabilities) == LABELS
        assert sum(result.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert result.score == max(result.probabilities.values()) == result.probabilities[result.label]
    assert model.classify([]) == []


@pytest.mark.parametrize("text", ["", " \n\t", "\N{GRINNING FACE}" * 3, "\u200b", "Ξένη λέξη"])
def test_without_a_known_word_the_probabilities_are_the_shares_of_the_labels(model, trained_run, text):
    data, _ = best_model(trained_run)
    (alone,), (_, among) = model.classify([text]), model.classify(["A wonderful film.", text])
    assert alone == among
    assert (alone.known_tokens, alone.truncated) == (0, False)
    counts = data.label_counts
    assert alone.probabilities == pytest.approx(
        {label: count / sum(counts.values()) for label, count in counts.items()}
    )
    assert alone.score == max(alone.probabilities.values())


def test_a_text_that_is_cut_says_so(model, trained_run):
    data, _ = best_model(trained_run)
    limit = data.config.max_length
    results = model.classify(["film " * limit, "film " * (limit + 1), "film"])
    assert [(r.known_tokens, r.truncated) for r in results] == [(limit, False), (limit, True), (1, False)]


def test_classify_refuses_a_bare_string(model):
    with pytest.raises(UserError, match=r"texts is 'A wonderful film\.'; give a list of strings"):
        model.classify("A wonderful film.")


def test_a_simple_rnn_is_exported_and_verified(tmp_path):
    encoder = WordCodec("words", ["good", "film"], max_length=10)
    classifier = SentimentClassifier(
        4, 2, SentimentOptions(cell="simple_rnn", layers=2, units=3, embedding_size=2)
    )
    classifier(tf.ones([1, 1], tf.int32))
    bundle = signatures.bundle(classifier, encoder, {"bad": 1, "good": 3})
    model = unroll.serving.load(export(bundle, tmp_path / "model"))
    expected = bundle.signatures["serving_default"].function(tf.constant(TEXTS))
    np.testing.assert_allclose(call(model, TEXTS)["probabilities"], expected["probabilities"], atol=1e-5)


# Versions.


def test_versions_count_up_and_serving_files_are_not_overwritten(exported_model, tmp_path, unverified):
    output = tmp_path / "sentiment"
    shutil.copytree(exported_model, output)
    (output / "models.config").write_text("adapted", encoding="utf-8")
    assert export(bundle_of(double), output) == output / "2"
    (output / "2").rename(output / "10")
    assert export(bundle_of(double), output) == output / "11"
    assert (output / "models.config").read_text(encoding="utf-8") == "adapted"
    assert not list(output.glob(".partial*"))


def test_newest_version_is_loaded(exported_model, tmp_path):
    for number in ("9", "10"):
        shutil.copytree(exported_model / "1", tmp_path / number)
    # A process that was killed left it.
    shutil.copytree(exported_model / "1", tmp_path / ".partial-a1")
    assert unroll.serving.load(tmp_path).backend.directory == tmp_path / "10"


def test_version_directory_can_be_loaded(version):
    assert unroll.serving.load(str(version)).backend.directory == version


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_what_holds_no_model_is_refused(tmp_path, make):
    make(tmp_path / "nothing")
    with pytest.raises(UserError, match="nothing holds no exported model"):
        unroll.serving.load(tmp_path / "nothing")


def test_a_directory_of_models_names_them(tmp_path):
    for name in ("b/1", "a/2", "a/10", "c/notes"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").touch()
    with pytest.raises(UserError, match=r"is a directory of models; give one of them: \S*/a, \S*/b\.$"):
        unroll.serving.load(tmp_path)


@pytest.mark.parametrize("description", [None, "{", "{}", '{"application": "weather"}'])
def test_a_saved_model_of_another_kind_is_refused(version, tmp_path, description):
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    shutil.copy(version / "saved_model.pb", tmp_path / "1")
    if description is not None:
        (tmp_path / "1" / "assets.extra" / "unroll.json").write_text(description, encoding="utf-8")
    with pytest.raises(UserError, match=r"weather|not a model made by `unroll export`"):
        unroll.serving.load(tmp_path)


def test_a_file_as_output_is_refused(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(UserError, match="model is a file"):
        export(bundle_of(double), tmp_path / "model")


# Verification.


@tf.function(jit_compile=True)
def compiled(x):
    return 2 * x


REFUSED = {
    "python": (lambda x: {"y": tf.py_function(lambda v: 2 * v, [x], tf.float32)}, {}, "EagerPyFunc"),
    "compiled": (lambda x: {"y": compiled(x)}, {}, "jit_compile=True"),
    "scalar_input": (lambda x: {"y": x[None]}, {"shape": (), "request": 1.0}, "input 'x' has no leading"),
    "fixed_batch": (double, {"shape": (2,)}, "input 'x' has no leading"),
    "scalar_output": (lambda x: {"y": tf.reduce_sum(x)}, {}, "output 'y' has no leading"),
    "other_answers": (different_each_time_it_is_traced, {}, r"fresh process \(tensorflow\): .*'y'"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_model_that_fails_verification_is_not_published(tmp_path, reason):
    function, options, message = REFUSED[reason]
    with pytest.raises(VerificationError, match=message):
        export(bundle_of(function, **options), tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_an_interrupted_verification_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(directory):
        assert (directory / "saved_model.pb").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "fresh_processes", lambda: nullcontext(interrupt))
    with pytest.raises(KeyboardInterrupt):
        export(bundle_of(double), tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


# For TensorFlow Serving.


def test_warmup_requests_are_as_servers_read_them(version, model):
    # TensorFlow Serving ignores the file under any other name.
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    names = []
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "sentiment"
        names.append(request.model_spec.signature_name)
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        assert inputs.keys() == {"text"}
        assert len(call(model, inputs["text"])["label"]) == len(inputs["text"])
    assert {*names} == {"serving_default", "explain"}


def test_example_requests_of_any_kind_survive_their_file():
    arrays = {
        "image": np.array([b"\xff\xd8\x00 JPEG", b""], object),
        "ids": np.array([[2**40], [-1]], np.int64),
        "flags": np.array([True]),
        "scores": np.array([[0.1, np.pi]], np.float32),
        "nothing": np.zeros((0, 3), np.uint8),
    }
    for name, saved in json.loads(json.dumps(to_json(arrays))).items():
        np.testing.assert_array_equal(from_json(saved), arrays[name], strict=True)


@pytest.mark.parametrize(
    ("signature", "inputs", "said"),
    [
        ("translate", {"text": [b"a"]}, "no signature 'translate'; choose one of explain, serving_default"),
        ("serving_default", {}, "takes the inputs text, but was given none"),
        (
            "serving_default",
            {"text": [b"a"], "label": [b"b"]},
            "takes the inputs text, but was given label, text",
        ),
    ],
)
def test_calls_that_the_model_does_not_know_are_refused(model, signature, inputs, said):
    with pytest.raises(UserError, match=said):
        model.call(signature, inputs)


# What each word did.


def log_odds_of(model, texts, label):
    probabilities = np.array([result.probabilities[label] for result in model.classify(texts)])
    return np.log(probabilities) - np.log1p(-probabilities)


def test_contributions_agree_with_deleting_words(model):
    correlations = []
    for text in (
        "The film lovely of number 3 was lovely, said Amélie.",
        "The dull kettle of number 3 was dull, said nobody.",
        "The kettle of number 3 was ordinary, said Amélie.",
        "A wonderful kettle, but a boring film.",
        "It was awful, wonderful and average.",
    ):
        (result,) = model.explain([text])
        words = result.tokens
        texts = [" ".join(words[:position] + words[position + 1 :]) for position in range(len(words))]
        whole, *without = log_odds_of(model, [" ".join(words), *texts], result.label)
        correlations.append(np.corrcoef(result.contributions, whole - np.array(without))[0, 1])
    assert min(correlations) > 0.75
    assert np.mean(correlations) > 0.85


def test_explanations_name_the_words_that_were_read(model):
    texts = ["IT isn't<br />dull, Amélie!", "", "🙂 zzz", *TEXTS]
    results = model.explain(texts)
    assert [(result.text, result.label) for result in results] == [
        (result.text, result.label) for result in model.classify(texts)
    ]
    assert results[0].tokens == ["it", "isn't", "dull", ",", "amélie", "!"]
    assert len(results[0].contributions) == 6
    assert max(results[0].contributions, key=abs) == results[0].contributions[2]
    assert (results[1].tokens, results[1].contributions) == ([], [])
    assert (results[2].tokens, results[2].contributions) == (["🙂", "zzz"], [0, 0])
    assert model.explain([]) == []
    outputs = model.call("explain", {"text": []})
    assert {name: len(values) for name, values in outputs.items()} == dict.fromkeys(outputs, 0)
