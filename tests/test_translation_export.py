"""An exported translation model: translations, alignments and scores, from text to text."""

import json

import numpy as np
import pytest
import tensorflow as tf
from exported import answered_without_training_code, described_signatures, not_verified
from tiny_training import best_model

import unroll.serving
from unroll.common.errors import UserError
from unroll.export import saved_model
from unroll.models.decoding import Beams
from unroll.models.options import TranslationOptions
from unroll.models.text import SubwordCodec
from unroll.models.translation import TranslationModel
from unroll.serving.translation import Alignment, Translation
from unroll.serving.warmup import read_warmup_requests
from unroll.tasks import cli
from unroll.tasks.beam_search import beams_of
from unroll.tasks.translation import signatures

BEAMS = 3
# Long and short ones, words that the model never saw, and nothing.
TEXTS = [
    "The old dog sleeps today, the dog.",
    "The cat falls.",
    '"The red house!"',
    "",
    "The zebra sleeps.",
    "The small man falls here, the man.",
]
SIGNATURES = {"serving_default", "n_best", "align", "score"}


@pytest.fixture(scope="module")
def model(exported_translation):
    return unroll.serving.load(exported_translation)


@pytest.fixture(scope="module")
def in_memory(translation_run):
    """The data of a run, and its model that was never saved, with the best weights."""
    return best_model(translation_run)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A model of characters that attends to nothing, writes at random, and has more beams than there are first
    tokens."""
    tf.keras.utils.set_random_seed(1)
    encoder = SubwordCodec("characters", ["▁", "a", "b"], 9)
    options = TranslationOptions(cell="simple_rnn", units=4, embedding_size=4, attention="none")
    model = TranslationModel(len(encoder), len(encoder), options)
    model(tf.ones([1, 1], tf.int32), tf.ones([1, 1], tf.int32))
    path = tmp_path_factory.mktemp("untrained") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "verification", not_verified)
        bundle = signatures.bundle(model, encoder, encoder, Beams(6), 1)
        saved_model.export(bundle._replace(signatures={"n_best": bundle.signatures["n_best"]}), path)
    return unroll.serving.load(path)


def strings(texts):
    return np.array([text.encode() if isinstance(text, str) else text for text in texts], object)


def pieces_of(encoder: SubwordCodec, text: str) -> list[str]:
    (ids,) = encoder.encode(tf.constant([text])).to_list()
    return [encoder.tokens[number].decode() for number in ids]


# Contents of the file.


def test_signatures(exported_translation):
    text, number, cut = (tf.string, -1), (tf.float32, -1), {"truncated": (tf.bool, -1)}
    assert described_signatures(exported_translation / "1") == {
        "serving_default": ({"text": text}, {"text": text, "score": number} | cut),
        "n_best": (
            {"text": text},
            {"texts": (tf.string, -1, BEAMS), "scores": (tf.float32, -1, BEAMS)} | cut,
        ),
        "align": (
            {"text": text},
            {
                "text": text,
                "source_tokens": (tf.string, -1, -1),
                "tokens": (tf.string, -1, -1),
                "attention": (tf.float32, -1, -1, -1),
            }
            | cut,
        ),
        "score": ({"source": text, "target": text}, {"log_probability": number}),
    }


def test_warm_up_requests_call_every_signature(exported_translation, model):
    requests = list(read_warmup_requests(exported_translation / "1" / "assets.extra"))
    assert {name for name, _ in requests} == SIGNATURES
    # Of several texts, an empty one and one that is cut among them.
    assert any(b"" in inputs["text"] for name, inputs in requests if name == "n_best")
    for name, inputs in requests:
        assert all(np.all(np.isfinite(v)) for v in model.call(name, inputs).values() if v.dtype != object)


def test_answers_in_a_fresh_process_and_through_the_c_api(exported_translation, model):
    program = """
import numpy as np
from unroll.serving.c_api import SavedModelSession
texts = json.load(sys.stdin)
rows = np.array([text.encode() for text in texts], object)
session = SavedModelSession(sys.argv[1] + "/1")
answers = {name: session.run(name, {"text": rows}) for name in ("serving_default", "n_best", "align")}
answers["score"] = session.run("score", {"source": rows, "target": answers["serving_default"]["text"]})
decoded = np.vectorize(bytes.decode, otypes=[object])
answers = {
    name: {key: (decoded(v) if v.dtype == object else v).tolist() for key, v in outputs.items()}
    for name, outputs in answers.items()
}
assert "tensorflow" not in sys.modules
import unroll.serving as ue
model = ue.load(sys.argv[1])
translated = [[t.text, t.score, t.n_best] for t in model.translate(texts, n_best=2)]
json.dump([answers, translated, [a.target_tokens for a in model.align(texts)]], sys.stdout)
"""
    answers, translated, aligned = answered_without_training_code(program, exported_translation, TEXTS)
    expected = model.translate(TEXTS, n_best=BEAMS)
    assert answers.keys() == SIGNATURES
    assert answers["serving_default"]["text"] == [result.text for result in expected]
    for row, scores in zip(expected, answers["n_best"]["scores"], strict=True):
        found = [score for score in scores if score > -1e8]
        np.testing.assert_allclose([score for _, score in row.n_best], found, atol=1e-4)
    np.testing.assert_allclose(
        answers["score"]["log_probability"], model.score(TEXTS, [r.text for r in expected]), atol=1e-4
    )
    assert [[text, n_best] for text, _, n_best in translated] == [
        [r.text, [[text, pytest.approx(score, abs=1e-4)] for text, score in r.n_best[:2]]] for r in expected
    ]
    assert aligned == [result.target_tokens for result in model.align(TEXTS)]


# Translations.


def test_translations_have_their_spaces_and_punctuation(model):
    results = model.translate([TEXTS[0], TEXTS[2], "The cat falls."])
    assert [result.text for result in results] == [
        "heute, das Hund, schläft das alte Hund.",
        "„Das rote Haus!“",
        "Das Katze fällt.",
    ]
    assert all(isinstance(result, Translation) for result in results)
    assert [result.source for result in results] == [TEXTS[0], TEXTS[2], "The cat falls."]


def test_the_best_come_first_and_no_text_comes_twice(model):
    for result in model.translate(TEXTS, n_best=BEAMS):
        texts, scores = zip(*result.n_best, strict=True)
        assert list(scores) == sorted(scores, reverse=True)
        assert (result.text, result.score) == result.n_best[0]
        assert len(texts) == len(set(texts)) == (BEAMS if result.source else 1)
    for count in (1, 2):
        assert [r.n_best for r in model.translate(TEXTS, n_best=count)] == [
            r.n_best[:count] for r in model.translate(TEXTS, n_best=BEAMS)
        ]


def test_all_signatures_tell_of_the_same_translation(model):
    one = model.call("serving_default", {"text": strings(TEXTS)})
    many = model.call("n_best", {"text": strings(TEXTS)})
    aligned = model.call("align", {"text": strings(TEXTS)})
    assert one["text"].tolist() == many["texts"][:, 0].tolist() == aligned["text"].tolist()
    np.testing.assert_allclose(one["score"], many["scores"][:, 0], atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_companions_and_the_size_of_the_batch_change_nothing(model, batch_size):
    together = model.translate(TEXTS, n_best=BEAMS)
    for apart in (
        model.translate(TEXTS, n_best=BEAMS, batch_size=batch_size),
        model.translate(TEXTS[::-1], n_best=BEAMS, batch_size=batch_size)[::-1],
    ):
        for ours, theirs in zip(apart, together, strict=True):
            assert [text for text, _ in ours.n_best] == [text for text, _ in theirs.n_best]
            np.testing.assert_allclose(
                [s for _, s in ours.n_best], [s for _, s in theirs.n_best], rtol=1e-4, atol=1e-5
            )
    for ours, theirs in zip(model.align(TEXTS, batch_size=batch_size), model.align(TEXTS), strict=True):
        assert ours[:2] == theirs[:2]
        np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-5)


def test_translations_are_those_of_the_model_in_memory(model, in_memory):
    data, memory = in_memory
    source = data.source_codec.encode(tf.constant(TEXTS)).to_tensor(0)
    found = memory.translate(
        source, beams_of(data.config, len(data.target_codec)), data.config.max_decode_length
    )
    texts = data.target_codec.decode(found.ids)
    for row, result in enumerate(model.translate(TEXTS, n_best=BEAMS)):
        if result.source:
            assert [text for text, _ in result.n_best] == [text.decode() for text in texts[row].numpy()]
            np.testing.assert_allclose([s for _, s in result.n_best], found.scores[row], rtol=1e-4, atol=1e-5)


def test_an_empty_text_is_answered(model):
    for empty in ("", "  \n\t", "\x00"):
        (result,) = model.translate([empty], n_best=BEAMS)
        assert result.source == empty
        assert np.isfinite(result.score)
        (alignment,) = model.align([empty])
        assert alignment.source_tokens == []
        assert alignment.weights.shape == (len(alignment.target_tokens), 0)
    assert model.translate([]) == []
    assert np.isfinite(model.score([""], [""])).all()


def test_a_text_of_ten_thousand_words_is_cut(model, in_memory):
    longest = in_memory[0].config.max_length
    words = ["The", "old", "dog", "sleeps"]
    text = " ".join(words[number % 4] for number in range(10_000))
    cut = " ".join(text.split()[:longest])
    for long in (text, text.replace(" ", "")):
        (result,) = model.translate([long])
        assert result.source == long
        assert result.text is not None
    assert model.translate([text])[0].n_best == model.translate([cut])[0].n_best
    (alignment,) = model.align([text])
    assert len(alignment.source_tokens) == longest
    assert model.score([text], ["Das Hund."]) == model.score([cut], ["Das Hund."])
    assert np.isfinite(model.score(["The dog."], [text])).all()


def test_bytes_that_are_no_text_separate_words(model):
    damaged, plain = strings([b"The\xff\xfeold dog\x00 sleeps."]), strings(["The old dog sleeps."])
    for name in ("n_best", "align"):
        ours, theirs = (model.call(name, {"text": text}) for text in (damaged, plain))
        for key, value in ours.items():
            assert value.tolist() == theirs[key].tolist()


def test_fewer_translations_than_beams_are_told_as_they_are(untrained):
    # At most one token: one of the five, or none.
    outputs = untrained.call("n_best", {"text": strings(["a"])})
    assert outputs["texts"].shape == (1, 6)
    (result,) = untrained.translate(["a"], n_best=6)
    texts, scores = zip(*result.n_best, strict=True)
    assert sorted(texts) == ["", "", "a", "b"]
    assert np.exp(scores).sum() < 1
    assert min(scores) > -20


# Scores.


def test_score_of_a_translation_is_the_log_probability_of_the_search(model, in_memory):
    encoder = in_memory[0].target_codec
    compared = 0
    for row, result in enumerate(model.translate(TEXTS, n_best=BEAMS)):
        for text, score in result.n_best:
            # With the end.
            length = len(pieces_of(encoder, text)) + 1
            (total,) = model.score([TEXTS[row]], [text])
            assert score == pytest.approx(total / ((5 + length) / 6), rel=1e-3, abs=1e-4)
            compared += 1
    # The empty text has one translation.
    assert compared == BEAMS * (len(TEXTS) - 1) + 1


def test_score_is_the_sum_of_the_log_probabilities_of_the_tokens(model, in_memory):
    data, memory = in_memory
    targets = ["Das Hund schläft.", "Haus", "", "Zebra fällt hier hier hier.", "„!“", "Das"]
    scores = model.score(TEXTS, targets)
    for source, target, score in zip(TEXTS, targets, scores, strict=True):
        ids = [2, *data.target_codec.encode(tf.constant([target])).to_list()[0], 3]
        positions = data.source_codec.encode(tf.constant([source])).to_list()[0] or [0]
        outputs = memory(tf.constant([positions]), tf.constant([ids[:-1]]))
        logs = tf.nn.log_softmax(memory.logits(outputs[0])).numpy()
        assert score == pytest.approx(sum(logs[np.arange(len(ids) - 1), ids[1:]]), rel=1e-4, abs=1e-4)
    # Companions change nothing, and the right translation is the most probable.
    np.testing.assert_allclose(model.score(TEXTS, targets, batch_size=1), scores, rtol=1e-4, atol=1e-5)
    right, wrong = model.score([TEXTS[1]] * 2, ["Das Katze fällt.", "Das Hund fällt."])
    assert right > wrong


def test_what_is_longer_than_a_source_may_be_is_scored_whole(model, in_memory):
    longest = in_memory[0].config.max_length
    texts = ["Das Hund " * count for count in (longest // 2, longest, 2 * longest)]
    scores = model.score(["The dog."] * 3, texts)
    assert scores[0] > scores[1] > scores[2]


# Alignments.


def test_alignments_have_a_row_for_each_token_that_sums_to_one(model, in_memory):
    data, _ = in_memory
    results = model.align(TEXTS)
    for text, translation, alignment in zip(TEXTS, model.translate(TEXTS), results, strict=True):
        assert isinstance(alignment, Alignment)
        assert alignment.source_tokens == pieces_of(data.source_codec, text)
        assert alignment.target_tokens == [*pieces_of(data.target_codec, translation.text), "</s>"]
        assert alignment.weights.shape == (len(alignment.target_tokens), len(alignment.source_tokens))
        np.testing.assert_allclose(alignment.weights.sum(axis=1), 1 if text else 0, atol=1e-5)
        assert (alignment.weights >= 0).all()


def test_what_is_no_token_has_no_weight(model):
    outputs = model.call("align", {"text": strings(TEXTS)})
    for weights, sources, targets in zip(
        outputs["attention"], outputs["source_tokens"], outputs["tokens"], strict=True
    ):
        assert not weights[targets == b""].any()
        assert not weights[:, sources == b""].any()


# Invalid requests.


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda model: model.translate(TEXTS, n_best=0),
            "n_best is 0; give the number of hypotheses, at least 1",
        ),
        (lambda model: model.translate(TEXTS, n_best=4), "n_best is 4; give 1 to 3, the beam width"),
        (lambda model: model.translate("A dog."), "texts is 'A dog.'; give a list of strings"),
        (lambda model: model.translate(["A dog.", None]), "texts[1] is None; give a list of strings"),
        (lambda model: model.align("A dog."), "texts is 'A dog.'; give a list of strings"),
        (lambda model: model.score(["A dog."], []), "1 sources and 0 targets"),
        (lambda model: model.score("A dog.", "Ein Hund."), "sources is 'A dog.'; give a list of strings"),
    ],
)
def test_what_makes_no_sense_is_refused(model, call, said):
    with pytest.raises(UserError) as error:
        call(model)
    assert said in str(error.value)


# The command line.


def predicted(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_prints_translations(exported_translation, model, capsys):
    assert cli.main(["predict", f"--model={exported_translation}", "--n_best=2", *TEXTS]) == 0
    results = predicted(capsys)
    for result, expected in zip(results, model.translate(TEXTS, n_best=2), strict=True):
        assert list(result) == ["source", "text", "score", "n_best", "truncated"]
        assert (result["source"], result["text"]) == (expected.source, expected.text)
        assert result["n_best"] == [[text, pytest.approx(score, abs=1e-5)] for text, score in expected.n_best]


@pytest.fixture
def predict(exported_translation, model, monkeypatch):
    """The command, with the model that was loaded once."""
    monkeypatch.setattr(unroll.serving, "load", lambda path: model)
    return lambda *arguments: cli.main(["predict", f"--model={exported_translation}", *arguments])


SIGNS = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("ending", SIGNS)
def test_predict_draws_the_alignment_of_the_first_text(predict, tmp_path, capsys, ending):
    picture = tmp_path / "new" / f"picture{ending}"
    text = 'The old dog said "$5^2" \\o/.'
    assert predict(f"--plot={picture}", text, TEXTS[1]) == 0
    assert [result["source"] for result in predicted(capsys)] == [text, TEXTS[1]]
    content = picture.read_bytes()
    assert content.startswith(SIGNS[ending])
    assert len(content) > 5000


@pytest.mark.filterwarnings("error")
def test_a_text_of_nothing_can_be_drawn(predict, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    assert predict(f"--plot={picture}", "") == 0
    assert picture.read_bytes().startswith(SIGNS[".png"])
    assert len(predicted(capsys)) == 1


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--plot=picture.bmp", "picture.bmp: give a file that ends in .png, .svg, .pdf"),
        ("--plot=picture", "give a file that ends in"),
        ("--n_best=0", "--n_best=0"),
        ("--n_best=4", "n_best is 4; give 1 to 3, the beam width"),
        ("--temperature=1", "'temperature'"),
    ],
)
def test_flags_that_make_no_sense_are_refused(predict, tmp_path, capsys, monkeypatch, flag, said):
    monkeypatch.chdir(tmp_path)
    assert predict(flag, TEXTS[0]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("unroll: ")
    assert said in line
    assert not captured.out
    assert not list(tmp_path.iterdir())


def test_help_of_predict_has_the_options_of_translation(exported_translation, capsys):
    assert cli.main(["predict", "--help", f"--model={exported_translation}"]) == 0
    printed = capsys.readouterr().out
    assert "--n_best=int (default 1)" in printed
    assert "--plot=str" in printed
    assert "--temperature" not in printed


# Requests of all kinds.


@pytest.mark.parametrize(
    "text", ["", "  ", "\N{GRINNING FACE}", "\N{GRINNING FACE} \N{DOG FACE}\u200d", "漢字"]
)
def test_nothing_legible_gives_an_empty_translation(model, text):
    (alone,), (_, among, _) = (
        model.translate([text], n_best=2),
        model.translate(["The dog.", text, "The man."]),
    )
    assert alone.text == among.text == ""
    assert not alone.truncated
    assert [hypothesis for hypothesis, _ in alone.n_best] == [""]
    (alignment,) = model.align([text])
    assert alignment.target_tokens == ["</s>"]


def test_what_was_cut_says_so(model, untrained):
    long = "The dog sleeps. " * 200
    assert [result.truncated for result in model.translate(["The dog sleeps.", long])] == [False, True]
    # Its translations end after one token, and its sources after nine.
    results = untrained.translate(["a", "", "b", "ab", "ba b", "bbb aaab", "abababababab"])
    assert [r.truncated for r in results] == [*(r.text != "" for r in results[:-1]), True]


@pytest.mark.parametrize("word", ["a", "Zm9v", "漢字", "e\u0301\u0301", "क्", "1", "\N{GRINNING FACE}", "?!"])
def test_a_run_of_100_000_letters_without_a_space_is_cut(model, word):
    expected = model.translate(["The dog sleeps."])
    found = model.translate(["The dog sleeps.", word * (100_000 // len(word))], batch_size=2)
    assert found[0].text == expected[0].text
    assert found[1].truncated or not found[1].text


SHAPES = {
    "matrix": ({"text": [["a"]], "source": [["a"]], "target": [["b"]]}, r"\[1,1\]"),
    "scalar": ({"text": "a", "source": "a", "target": "b"}, r"\[\]"),
}


@pytest.mark.parametrize("signature", sorted(SIGNATURES))
def test_zero_rows_and_wrong_shapes(model, signature):
    names = ("source", "target") if signature == "score" else ("text",)
    for name, value in model.call(signature, {name: [] for name in names}).items():
        assert len(value) == 0, name
    for given, shown in SHAPES.values():
        with pytest.raises(
            UserError, match=f"^The inputs have the shapes .*{shown}; give .*\\[rows\\].*\\.$"
        ):
            model.call(signature, {name: given[name] for name in names})


def test_unequal_rows_are_refused(model):
    with pytest.raises(UserError, match=r"source \[2\], target \[1\]; give .* with equal numbers of rows\.$"):
        model.call("score", {"source": ["a", "b"], "target": ["a"]})
