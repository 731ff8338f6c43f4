"""Arguments for a loaded model: iterables of all kinds, and invalid arguments."""

import io
from collections import deque

import numpy as np
import pytest

from unroll.common.errors import UserError
from unroll.serving.captioning import Captioner
from unroll.serving.language_modeling import TextGenerator
from unroll.serving.sentiment import SentimentAnalyzer
from unroll.serving.translation import Translator

BEAMS = 3


class Series:
    """A column as pandas has it: its labels are no positions, and may occur twice."""

    ndim = 1

    def __init__(self, values, labels):
        self.values, self.labels = list(values), labels

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, label):
        return self.values[self.labels.index(label)]


class DataFrame:
    """A table as pandas has it: Python iterates over the names of its columns."""

    ndim = 2

    def __iter__(self):
        return iter(["text", "label"])


class Echo:
    """A backend whose answers contain the inputs."""

    def call(self, signature, inputs):
        self.signature, self.inputs = signature, inputs
        rows = {len(values) for values in inputs.values()}
        assert len(rows) == 1, "unequal numbers of rows"
        (count,) = rows
        given = next(inputs[name] for name in ("text", "prompt", "image", "source") if name in inputs)
        given = np.array([*given, None], object)[:-1]
        several = np.stack([given] * BEAMS, axis=1)
        outputs = {
            "label": given,
            "labels": several,
            "probabilities": np.full([count, BEAMS], 1 / BEAMS, np.float32),
            "score": np.zeros([count], np.float32),
            "log_probability": np.arange(count, dtype=np.float32),
            "bits_per_character": np.zeros([count], np.float32),
            "characters": np.zeros([count], np.int32),
            "text": given,
            "texts": several,
            "scores": np.zeros([count, BEAMS], np.float32),
            "tokens": several,
            "source_tokens": several,
            "attention": np.zeros([count, BEAMS, BEAMS], np.float32),
            "error": np.full([count], b"", object),
            "truncated": np.zeros([count], bool),
            "known_tokens": np.ones([count], np.int32),
        }
        return outputs


CLASSIFIER, TRANSLATOR, GENERATOR, CAPTIONER = (
    model(Echo()) for model in (SentimentAnalyzer, Translator, TextGenerator, Captioner)
)
# Method, name of its argument, and (input, answer) of a result.
METHODS = {
    "classify": (CLASSIFIER.classify, "texts", lambda result: (result.text, result.label)),
    "translate": (TRANSLATOR.translate, "texts", lambda result: (result.source, result.text)),
    "generate": (GENERATOR.generate, "prompts", lambda result: (result.prompt, result.text)),
    "predict": (
        lambda texts, **options: list(CLASSIFIER.predict(texts, **options)),
        "texts",
        lambda r: (r.text, r.label),
    ),
}
TEXTS = ["one", "", "three", "vier", "五", "one", "seven"]


LABELS = [9, 3, 3, 0, 1, 7, 5]
ITERABLES = {
    "list": lambda: TEXTS,
    "tuple": lambda: tuple(TEXTS),
    "generator": lambda: (text for text in TEXTS),
    "iterator": lambda: iter(TEXTS),
    "map": lambda: map(str, TEXTS),
    "deque": lambda: deque(TEXTS),
    "values": lambda: dict(enumerate(TEXTS)).values(),
    "array": lambda: np.array(TEXTS),
    "object_array": lambda: np.array(TEXTS, object),
    "column": lambda: Series(TEXTS, LABELS),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ITERABLES)
@pytest.mark.parametrize("batch_size", [2, 64])
def test_each_result_carries_its_own_input(method, kind, batch_size):
    call, _, pair = METHODS[method]
    results = call(ITERABLES[kind](), batch_size=batch_size)
    assert [pair(result) for result in results] == [(text, text) for text in TEXTS]


@pytest.mark.parametrize("model", [SentimentAnalyzer, Translator, TextGenerator, Captioner])
def test_an_export_without_an_output_names_it(model):
    class Older(Echo):
        def call(self, signature, inputs):
            outputs = super().call(signature, inputs)
            return {name: values for name, values in outputs.items() if name != "truncated"}

    with pytest.raises(
        UserError, match=r"no output 'truncated'.* another version .*; export its run again\.$"
    ):
        model(Older()).answer(["a.jpg"] if model is Captioner else ["A film."])


def test_lines_of_a_file_and_keys_of_a_dictionary_are_texts():
    assert [r.source for r in TRANSLATOR.translate(io.StringIO("one\ntwo\n"))] == ["one\n", "two\n"]
    assert [r.text for r in CLASSIFIER.classify({"one": 1, "two": 2}.keys())] == ["one", "two"]
    assert TRANSLATOR.translate(text for text in ()) == []


def test_pairs_for_a_score_may_be_iterators():
    assert TRANSLATOR.score(iter(TEXTS), (text for text in TEXTS), batch_size=4) == [0, 1, 2, 3, 0, 1, 2]
    with pytest.raises(UserError, match="2 sources and 1 targets"):
        TRANSLATOR.score(iter(["a", "b"]), iter(["a"]))


def test_images_may_be_iterators(tmp_path):
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(b"image %d" % number)
    expected = [(str(path), f"image {number}") for number, path in enumerate(paths)]
    for images in (iter(paths), map(str, paths), Series(map(str, paths), [4, 4, 1, 0, 9])):
        assert [(r.image, r.text) for r in CAPTIONER.caption(images, batch_size=2)] == expected
    missing = tmp_path / "missing.jpg"
    results = CAPTIONER.caption(image for image in (paths[0], missing, b"content"))
    assert [(r.image, r.text, r.error != "") for r in results] == [
        (str(paths[0]), "image 0", False),
        (str(missing), "", True),
        ("", "content", False),
    ]


def refusal(call, *arguments, **options):
    """The one sentence with which a call is refused."""
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


SINGLE = {
    "string": ("one text", "is 'one text'; give a list of strings."),
    "bytes": (b"one text", "is b'one text'; give a list of strings."),
    "bytearray": (bytearray(b"one"), "is of type bytearray"),
    "none": (None, "is None; give a list of strings."),
    "number": (5, "is 5; give a list of strings."),
    "dictionary": ({"one": 1}, "is of type dict; give a list of strings."),
    "data_frame": (DataFrame(), "is of type DataFrame; give a list of strings."),
    "matrix": (np.array([["a", "b"]]), "is of type ndarray; give a list of strings."),
    "scalar_array": (np.array("a"), "is of type ndarray; give a list of strings."),
}
ELEMENTS = {
    "none": (["a", "b", None], "[2] is None; give a list of strings."),
    "bytes": ((t for t in ["a", b"b"]), "[1] is b'b'; give a list of strings."),
    "number": ([3.5], "[0] is 3.5; give a list of strings."),
    "missing": (Series(["a", np.nan], [5, 6]), "[1] is nan; give a list of strings."),
    "list": ([["a"]], "[0] is of type list; give a list of strings."),
    "binary_file": (io.BytesIO(b"a\nb\n"), "[0] is b'a\\n'; give a list of strings."),
}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "predict"])
@pytest.mark.parametrize("kind", SINGLE)
def test_what_is_no_list_of_texts_is_refused_by_the_name_of_the_argument(method, kind):
    (value, said), (call, argument, _) = SINGLE[kind], METHODS[method]
    assert refusal(call, value).startswith(f"{argument} {said}")


@pytest.mark.parametrize("kind", ELEMENTS)
def test_an_element_of_another_type_is_refused_by_its_position(kind):
    value, said = ELEMENTS[kind]
    assert refusal(TRANSLATOR.translate, value) == f"texts{said}"


def test_images_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a\nb")
    assert refusal(CAPTIONER.caption, "a.jpg") == "images is 'a.jpg'; give a list of paths or of bytes."
    assert refusal(CAPTIONER.attend, tmp_path / "a.jpg").startswith(
        "images is of type PosixPath; give a list"
    )
    with (tmp_path / "a.jpg").open("rb") as file:
        assert refusal(CAPTIONER.caption, file) == "images is an open file; give a list of paths or of bytes."
        assert refusal(CAPTIONER.caption, [b"a", file]).startswith(
            "images[1] is of type BufferedReader; give"
        )


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", None, True])
def test_batch_sizes(batch_size):
    for call in (CLASSIFIER.classify, TRANSLATOR.align, GENERATOR.score, CAPTIONER.caption):
        for rows in ([], ["a"]):
            said = refusal(call, rows, batch_size=batch_size)
            assert said == f"batch_size is {batch_size!r}; give the number of rows in a call, at least 1."


@pytest.mark.parametrize("n_best", [0, -1, 1.0, 2.5, "3", None, False, [1]])
def test_numbers_of_hypotheses(n_best):
    for call in (TRANSLATOR.translate, CAPTIONER.caption):
        assert refusal(call, [], n_best=n_best).startswith("n_best is ")
    assert refusal(TRANSLATOR.translate, ["a"], n_best=BEAMS + 1).startswith("n_best is 4; give 1 to 3")
    assert len(TRANSLATOR.translate(["a"], n_best=np.int64(2))[0].n_best) == 2


REFUSED = {
    "max_length": [0, -5, "5", 2.0, None, 10_001, True],
    "temperature": ["warm", None, -0.1, float("nan"), float("inf"), True, [1.0], 10**400],
    "top_k": [-1, 1.5, "3", None, 2**31],
    "top_p": [0, 1.1, "0.5", None, float("nan")],
    "seed": [None, -1, 2**63, 1.0, "7", True, b"1"],
    "stop": [None, 5, b"end", {"end": 1}, True],
}


@pytest.mark.parametrize(("argument", "value"), [(a, v) for a, values in REFUSED.items() for v in values])
def test_options_of_generation(argument, value):
    assert refusal(GENERATOR.generate, ["a"], **{argument: value}).startswith(f"{argument} is ")
    if value != 10_001:
        assert refusal(lambda **o: list(GENERATOR.stream("a", **o)), **{argument: value}).startswith(
            f"{argument} is "
        )


def test_several_stop_strings():
    for stop in (["\n", "END"], ("\n", "", "END"), iter(["\n", "END"])):
        GENERATOR.generate(["a", "b"], stop=stop)
        assert GENERATOR.backend.signature == "generate_until"
        assert GENERATOR.backend.inputs["stop"] == [b"\n\0END"] * 2
    for stop in ("", [], ["", ""]):
        GENERATOR.generate(["a", "b"], stop=stop)
        assert GENERATOR.backend.signature == "generate"
    assert refusal(GENERATOR.generate, ["a"], stop=["a", None]).startswith("stop[1] is None; give")
    assert refusal(GENERATOR.generate, ["a"], stop=["a\0b"]).startswith("stop contains the NUL character")


def test_seeds_for_each_prompt():
    for seeds in (range(3), (n for n in range(3)), np.arange(3), Series(range(3), [7, 7, 7])):
        GENERATOR.generate(["a", "b", "c"], seed=seeds)
        assert GENERATOR.backend.inputs["seed"] == [0, 1, 2]
    assert refusal(GENERATOR.generate, ["a", "b"], seed=[1, None]).startswith(
        "seed[1] is None; give a number from 0"
    )
    assert "2 prompts, but 1 seeds" in refusal(GENERATOR.generate, ["a", "b"], seed=[1])
    GENERATOR.generate(["a", "b"], seed=np.array(5))
    assert GENERATOR.backend.inputs["seed"] == [5, 5]


@pytest.mark.parametrize("prompt", [None, 5, b"a", ["a"]])
def test_a_single_prompt_is_a_string(prompt):
    assert refusal(lambda: list(GENERATOR.stream(prompt))).startswith("prompt is ")
    assert refusal(GENERATOR.next_characters, prompt).startswith("text is ")


def test_texts_are_sent_in_normal_form_and_returned_as_given():
    given, sent = "cafe\u0301", "café".encode()
    results = [
        (CLASSIFIER, CLASSIFIER.classify([given])[0].text),
        (TRANSLATOR, TRANSLATOR.translate([given])[0].source),
        (GENERATOR, GENERATOR.generate([given], stop=given)[0].prompt),
        (GENERATOR, GENERATOR.score([given])[0].text),
    ]
    assert [text for _, text in results] == [given] * 4
    for model, inputs in (
        (CLASSIFIER, {"text": lambda: CLASSIFIER.classify([given])}),
        (TRANSLATOR, {"text": lambda: TRANSLATOR.align([given])}),
        (TRANSLATOR, {name: lambda: TRANSLATOR.score([given], [given]) for name in ("source", "target")}),
        (GENERATOR, {name: lambda: GENERATOR.generate([given], stop=given) for name in ("prompt", "stop")}),
    ):
        for name, call in inputs.items():
            call()
            assert list(model.backend.inputs[name]) == [sent]
