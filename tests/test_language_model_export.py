"""An exported language model: scores, generated texts, single steps, and its command line."""

import json
import os
import pty
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from exported import answered_without_training_code, described_signatures, not_verified
from tiny_training import best_model, text_of

import unroll.serving
from unroll.common.errors import UserError
from unroll.export import saved_model
from unroll.models.language_model import LanguageModel
from unroll.models.options import LanguageModelOptions
from unroll.models.text import BOUNDARY, UNKNOWN, CharacterCodec, RunningTextCodec
from unroll.serving.language_modeling import Generation, Score
from unroll.tasks import cli
from unroll.tasks.language_modeling import signatures

UNITS = 12
# "ß" and "漢" were never seen in training.
TEXTS = ["the cat sat on a mat. ", "", "où est l'été? ", "t", "zzz\n\n", "漢 a mat. ß", text_of(300, seed=3)]
STATES = ["state_0_h", "state_0_c", "state_1_h", "state_1_c"]


@pytest.fixture(scope="module")
def run(language_model_run):
    return language_model_run


@pytest.fixture(scope="module")
def exported(exported_language_model):
    return exported_language_model


@pytest.fixture(scope="module")
def model(exported):
    return unroll.serving.load(exported)


@pytest.fixture(scope="module")
def in_memory(run):
    """The model that was never saved, with the best weights of the run, and its characters."""
    data, model = best_model(run)
    return model, data.codec


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    """An exported model of bytes without training, whose text is hardly ever UTF-8."""
    tf.random.set_seed(0)
    encoder = CharacterCodec.from_counts({}, tokenizer="bytes")
    model = LanguageModel(len(encoder), LanguageModelOptions(cell="simple_rnn", units=5))
    model(tf.ones([1, 1], tf.int32))
    path = tmp_path_factory.mktemp("bytes") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "verification", not_verified)
        saved_model.export(signatures.bundle(model, encoder), path)
    return unroll.serving.load(path)


def log_probabilities(in_memory, text: str) -> np.ndarray:
    """log p(character | all before it) of each character, by one plain call of the model in memory."""
    model, encoder = in_memory
    ids = encoder.encode_symbols(np.array([ord(character) for character in text], np.int32))
    logits, _ = model(tf.constant([[BOUNDARY, *ids]]))
    return tf.nn.log_softmax(logits[0, :-1]).numpy()[np.arange(len(ids)), ids]


def step(model, characters: list[str], states: dict | None = None) -> dict[str, np.ndarray]:
    """A call of the signature `step`, from zeros unless states are given."""
    rows = len(characters)
    states = {name: (states or {}).get(name, np.zeros([rows, UNITS])) for name in STATES}
    options = {"position": [1] * rows, "temperature": [1] * rows, "top_k": [0] * rows}
    options |= {"top_p": [1] * rows, "seed": range(rows)}
    return model.call("step", {"character": [c.encode() for c in characters]} | options | states)


# Contents of the file.


def test_signatures(exported, run):
    ids = 2 + len(
        {
            c
            for text in run.with_name("language_model_texts").iterdir()
            for c in text.read_text(encoding="utf-8")
        }
    )
    text, number, integer = (tf.string, -1), (tf.float32, -1), (tf.int32, -1)
    sampling = {"temperature": number, "top_k": integer, "top_p": number, "seed": (tf.int64, -1)}
    start = {"prompt": text} | sampling
    generate = start | {"max_length": integer}
    states = {name: (tf.float32, -1, UNITS) for name in STATES}
    drawn = {"character": text, "position": integer}
    drawn |= {"probabilities": (tf.float32, -1, ids), "characters": (tf.string, -1, ids)}
    written = {"text": text, "score": number, "truncated": (tf.bool, -1)}
    assert described_signatures(exported / "1") == {
        "serving_default": (
            {"text": text},
            {"log_probability": number, "bits_per_character": number, "characters": integer},
        ),
        "generate": (generate, written),
        "generate_until": (generate | {"stop": text}, written),
        "start": (start, drawn | states),
        "step": ({"character": text, "position": integer} | sampling | states, drawn | states),
    }


def test_loads_and_writes_in_a_fresh_process_without_the_training_code(exported, model):
    program = """
import unroll.serving as ue
model = ue.load(sys.argv[1])
json.dump([model.generate(["the ", ""], seed=2), "".join(model.stream("the ", seed=2))], sys.stdout)
"""
    generated, streamed = answered_without_training_code(program, exported)
    expected = model.generate(["the ", ""], seed=2)
    assert [text for _, text, *_ in generated] == [result.text for result in expected]
    assert streamed == expected[0].text


# Scores.


def test_score_is_that_of_the_model_in_memory(model, in_memory):
    results = model.score(TEXTS)
    for text, result in zip(TEXTS, results, strict=True):
        expected = log_probabilities(in_memory, text)
        assert isinstance(result, Score)
        assert (result.text, result.characters) == (text, len(text))
        assert result.log_probability == pytest.approx(expected.sum(), rel=1e-4, abs=1e-5)
        bits = -expected.mean() / np.log(2) if text else 0
        assert result.bits_per_character == pytest.approx(bits, rel=1e-4)
    assert model.score([]) == []


def test_text_of_any_length_scores_as_its_parts_do_after_what_stands_before(model, in_memory):
    # Longer than the window that the graph reads at a time.
    text = text_of(5000, seed=4)
    expected = log_probabilities(in_memory, text)
    lengths = [0, 100, 1023, 1024, 1025, 2048, 5000]
    totals = [result.log_probability for result in model.score([text[:length] for length in lengths])]
    for (start, stop), part in zip(pairwise(lengths), np.diff(totals), strict=True):
        assert part == pytest.approx(expected[start:stop].sum(), rel=1e-4, abs=2e-2)
    assert totals[-1] == pytest.approx(expected.sum(), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_scores_depend_neither_on_companions_nor_on_the_batch(model, batch_size):
    together = [result.log_probability for result in model.score(TEXTS)]
    apart = [result.log_probability for result in model.score(TEXTS, batch_size=batch_size)]
    np.testing.assert_allclose(apart, together, rtol=1e-5, atol=1e-5)
    turned_round = [result.log_probability for result in model.score(TEXTS[::-1])][::-1]
    np.testing.assert_allclose(turned_round, together, rtol=1e-5, atol=1e-5)


def test_bytes_that_are_no_text_are_read_as_unknown_characters(model):
    outputs = model.call(
        "serving_default", {"text": [b"a\xff mat", "a\ufffd mat".encode(), b"a\xfe\xfd mat"]}
    )
    assert outputs["characters"].tolist() == [6, 6, 7]
    damaged, replaced, _ = outputs["log_probability"]
    assert damaged == pytest.approx(replaced, rel=1e-6)


# Texts that it writes.


def test_what_is_written_scores_as_the_whole_less_the_prompt(model):
    for options in (
        {"seed": 1},
        {"temperature": 0},
        {"temperature": 1.5, "top_k": 5, "seed": 2},
        {"stop": "a"},
    ):
        results = model.generate(TEXTS, **options)
        prompts, wholes = model.score(TEXTS), model.score([r.prompt + r.text for r in results])
        for result, prompt, whole in zip(results, prompts, wholes, strict=True):
            assert isinstance(result, Generation)
            assert result.score == pytest.approx(whole.log_probability - prompt.log_probability, abs=1e-3)
        assert sum(len(result.text) for result in results) > 5


def test_most_probable_text_takes_the_most_probable_character_at_each_step(model, in_memory):
    memory, encoder = in_memory
    for prompt in ("the ", "", "ßß"):
        (result,) = model.generate([prompt], temperature=0, max_length=12)
        text = prompt
        for character in result.text:
            ids = encoder.encode_symbols(np.array([ord(c) for c in text], np.int32))
            logits = memory(tf.constant([[BOUNDARY, *ids]]))[0][0, -1].numpy()
            logits[UNKNOWN] = -np.inf
            assert encoder.tokens[logits.argmax()].decode() == character
            text += character
        assert result.text


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_seed_decides_the_text_whatever_the_batch(model, batch_size):
    alone = [model.generate([text], seed=seed)[0].text for seed, text in enumerate(TEXTS)]
    assert [r.text for r in model.generate(TEXTS, seed=range(len(TEXTS)), batch_size=batch_size)] == alone
    turned_round = model.generate(TEXTS[::-1], seed=range(len(TEXTS))[::-1], batch_size=batch_size)
    assert [result.text for result in turned_round][::-1] == alone


def test_different_seeds_write_different_texts(model):
    seeds = [0, 1, 2, 3, 2**40, 2**63 - 1]
    texts = [result.text for result in model.generate(["the "] * len(seeds), seed=seeds, temperature=2)]
    assert len(set(texts)) == len(seeds)
    assert len({result.text for result in model.generate(["the "] * 3, seed=7, temperature=2)}) == 1


def test_first_characters_are_drawn_with_their_probabilities(model):
    draws = 4000
    results = model.generate(["the c"] * draws, max_length=1, seed=range(draws), batch_size=draws)
    expected = model.next_characters("the c")
    # The unknown character is never written: the others have its share.
    known = 1 - expected.pop("\ufffd")
    for character, probability in expected.items():
        share = sum(result.text == character for result in results) / draws
        probability /= known
        assert share == pytest.approx(
            probability, abs=4 * np.sqrt(probability * (1 - probability) / draws) + 1e-3
        )


def test_texts_end_by_themselves(model):
    texts = [result.text for result in model.generate([""] * 20, seed=range(20), max_length=1000)]
    assert all(len(text) < 1000 for text in texts)
    assert len({len(text) for text in texts}) > 5


def test_stop_string_is_the_end_of_the_text(model):
    prompts = ["the ", "", "a mat"]
    for stop in ("a", "at ", "."):
        unstopped = model.generate(prompts, seed=3)
        stopped = model.generate(prompts, seed=3, stop=stop)
        for long, short in zip(unstopped, stopped, strict=True):
            before, found, _ = long.text.partition(stop)
            assert short.text == before + found
    assert any(result.text.endswith(".") for result in stopped)
    # Of the prompt nothing counts.
    (result,) = model.generate(["a mat"], temperature=0, stop="t.")
    assert result.text != "."


def test_the_first_of_several_stop_strings_ends_the_text(model):
    prompts = ["the ", "", "a mat"]
    unstopped = [result.text for result in model.generate(prompts, seed=3)]
    for stop in (["at ", "."], iter([".", "", "at "]), ("zzz", ".", "at ")):
        several = list(stop)
        results = model.generate(prompts, seed=3, stop=iter(several))
        for long, short in zip(unstopped, results, strict=True):
            ends = [long.index(text) + len(text) for text in several if text and text in long]
            assert short.text == long[: min(ends, default=len(long))]
            assert list(model.stream(short.prompt, seed=3, stop=several)) == list(short.text)
    assert [result.text for result in model.generate(prompts, seed=3, stop=["", ""])] == unstopped


def test_longest_text(model):
    for length in (1, 2, 7):
        results = model.generate(["the cat", ""], seed=1, max_length=length)
        longer = model.generate(["the cat", ""], seed=1, max_length=50)
        assert [r.text for r in results] == [r.text[:length] for r in longer]
        assert [r.truncated for r in results] == [len(r.text) == length for r in results]


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_options_that_leave_the_most_probable_text_alone(model, options):
    greedy = [result.text for result in model.generate(TEXTS, temperature=0, max_length=40)]
    assert [result.text for result in model.generate(TEXTS, **options, seed=5, max_length=40)] == greedy


def test_only_characters_of_the_chosen_share_are_written(model):
    expected = model.next_characters("the ")
    del expected["\ufffd"]
    ranked = list(expected)
    mass = np.cumsum(list(expected.values())) / sum(expected.values())
    nucleus = ranked[: int(np.searchsorted(mass, 0.8)) + 1]
    written = {}
    for name, options in (("top_k", {"top_k": 3}), ("top_p", {"top_p": 0.8})):
        results = model.generate(["the "] * 300, seed=range(300), max_length=1, temperature=3, **options)
        written[name] = {result.text for result in results}
    assert written["top_k"] == set(ranked[:3])
    # A high temperature makes the share wider than it is without.
    assert written["top_p"] > set(nucleus)
    results = model.generate(["the "] * 300, seed=range(300), max_length=1, top_p=0.8)
    assert {result.text for result in results} == set(nucleus)


def test_unknown_characters_are_read_and_never_written(model):
    results = model.generate(["漢ß"] * 50, seed=range(50), temperature=5, max_length=30)
    assert not any("\ufffd" in result.text for result in results)
    assert model.generate(["漢ß"], seed=4)[0].text == model.generate(["ßß"], seed=4)[0].text


# Streaming.


STREAMED = [
    {},
    {"temperature": 0},
    {"temperature": 0.6, "top_k": 4},
    {"temperature": 1.3, "top_p": 0.7},
    {"top_k": 6, "top_p": 0.9, "stop": "t "},
    {"stop": "\n", "temperature": 0.9},
]


@pytest.mark.parametrize("options", STREAMED, ids=["-".join(o) or "none" for o in STREAMED])
def test_stream_yields_what_generate_writes(model, options):
    prompts, seeds = ["the ", "", "漢 a mat", "où est l'"], [0, 1, 2**62 + 3, 8]
    results = model.generate(prompts, seed=seeds, max_length=40, **options)
    for prompt, seed, result in zip(prompts, seeds, results, strict=True):
        pieces = list(model.stream(prompt, seed=seed, max_length=40, **options))
        assert pieces == list(result.text)
    assert any(len(result.text) > 3 for result in results)


def test_stream_writes_while_it_is_read(model, monkeypatch):
    calls = []
    call = model.call
    monkeypatch.setattr(model, "call", lambda *arguments: calls.append(arguments) or call(*arguments))
    stream = model.stream("the cat sat", seed=1)
    assert not calls
    first = next(stream)
    # The prompt; a written character is read when more is asked for.
    assert [signature for signature, _ in calls] == ["start"]
    second = next(stream)
    assert [signature for signature, _ in calls] == ["start", "step"]
    assert first + second == model.generate(["the cat sat"], seed=1)[0].text[:2]


def test_stream_of_bytes_yields_whole_characters(of_bytes):
    lengths = set()
    for seed in range(3):
        for limit in (1, 2, 3, 60):
            (result,) = of_bytes.generate(["é"], seed=seed, max_length=limit, temperature=1.2)
            pieces = list(of_bytes.stream("é", seed=seed, max_length=limit, temperature=1.2))
            assert pieces == list(result.text)
            assert len(result.text.encode()) <= limit
            lengths |= {len(piece.encode()) for piece in pieces}
    assert {1, 2} < lengths


def test_all_strings_of_a_model_of_bytes_are_utf8(of_bytes):
    sampling = {"temperature": [5.0] * 9, "top_k": [0] * 9, "top_p": [1.0] * 9, "seed": range(9)}
    prompts = [text.encode() for text in TEXTS] + [b"\xc3", b"\xff\xfe"]
    generated = of_bytes.call("generate", {"prompt": prompts, "max_length": range(9)} | sampling)
    state = of_bytes.call("start", {"prompt": prompts} | sampling)
    for _ in range(5):
        given = {name: v for name, v in state.items() if name not in ("probabilities", "characters")}
        state = of_bytes.call("step", given | sampling)
        texts = [*generated["text"], *state["character"], *state["characters"].ravel()]
        assert "".join(text.decode() for text in texts)
    assert {b"a", b"\\x80", b"\\xff"} < set(state["characters"][0])


def test_bytes_are_what_a_model_of_bytes_counts(of_bytes):
    long, short = of_bytes.score(["où est l'été?", "ou est l'ete?"])
    assert (long.characters, short.characters) == (16, 13)
    # Not trained: about as many as bytes are there.
    assert long.bits_per_character == pytest.approx(8, abs=0.5)


# Steps.


def test_steps_from_zeros_have_the_distributions_of_the_model(model, in_memory):
    memory, encoder = in_memory
    text = "où est ß?"
    ids = encoder.encode_symbols(np.array([ord(character) for character in text], np.int32))
    logits, _ = memory(tf.constant([[BOUNDARY, *ids]]))
    expected = tf.nn.softmax(logits[0]).numpy()
    state = step(model, [""])
    for number, character in enumerate([*text, None]):
        np.testing.assert_allclose(state["probabilities"][0], expected[number], atol=1e-5)
        assert state["characters"][0].tolist() == encoder.tokens
        if character is not None:
            state = step(model, [character], state)
    assert encoder.tokens[:2] == [b"", "\ufffd".encode()]


def test_several_characters_at_once_are_read_as_one_by_one(model):
    start = step(model, [""] * 3)
    texts = ["the cat", "o", "ß?\n"]
    together = step(model, texts, start)
    for row, text in enumerate(texts):
        state = {name: value[row : row + 1] for name, value in start.items()}
        for character in text:
            state = step(model, [character], state)
        for name in ("probabilities", *STATES):
            np.testing.assert_allclose(together[name][row], state[name][0], atol=1e-5, err_msg=name)


def test_rows_of_a_step_may_begin_a_text_or_go_on_with_one(model):
    state = step(model, [""])
    both = {name: np.concatenate([np.zeros([1, UNITS]), state[name]]) for name in STATES}
    mixed = step(model, ["", "the "], both)
    np.testing.assert_allclose(mixed["probabilities"][0], state["probabilities"][0], atol=1e-6)
    after = step(model, ["the "], state)
    np.testing.assert_allclose(mixed["probabilities"][1], after["probabilities"][0], atol=1e-5)


def test_next_characters_are_those_of_a_step(model):
    text = "the ca"
    outputs = step(model, [text], step(model, [""]))
    expected = {
        name.decode(): pytest.approx(float(probability), abs=1e-6)
        for name, probability in zip(outputs["characters"][0], outputs["probabilities"][0], strict=True)
    }
    found = model.next_characters(text)
    assert found == expected
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)


# Invalid requests.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_length": 0}, "max_length is 0; give the number of characters to write"),
        ({"temperature": -1}, "temperature is -1; give 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_k": -1}, "top_k is -1; give the number of characters to draw from"),
        ({"top_p": 0}, "top_p is 0; give a probability above 0"),
        ({"top_p": 1.5}, "top_p is 1.5; give a probability above 0"),
        ({"seed": -1}, "seed is -1; give a number from 0"),
        ({"seed": 2**63}, "give a number from 0 to 2**63 - 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(model, options, said):
    with pytest.raises(UserError) as error:
        model.generate(["the "], **options)
    assert said in str(error.value)
    with pytest.raises(UserError) as error:
        next(model.stream("the ", **options))
    assert said in str(error.value)


def test_more_than_a_call_writes_is_refused_but_for_the_stream(model):
    with pytest.raises(UserError, match="at most 10,000 characters; longer texts are streamed"):
        model.generate(["the "], max_length=1_000_000)
    assert next(model.stream("the ", max_length=1_000_000, temperature=0))


def test_strings_in_place_of_lists_are_refused(model):
    with pytest.raises(UserError, match="prompts is 'the '; give a list of strings"):
        model.generate("the ")
    with pytest.raises(UserError, match="texts is 'the '; give a list of strings"):
        model.score("the ")
    with pytest.raises(UserError, match=r"prompts\[1\] is None; give a list of strings"):
        model.generate(["the ", None])


def test_as_many_seeds_as_prompts_are_wanted(model):
    with pytest.raises(UserError, match="There are 3 prompts, but 2 seeds"):
        model.generate(["the "] * 3, seed=[1, 2])


# The command line.


def predicted(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_writes_what_generate_does(exported, model, capsys):
    prompts = ["the ", "", "où est", "漢"]
    options = {"max_length": 15, "temperature": 0.7, "top_k": 5, "top_p": 0.95, "seed": 11}
    flags = [f"--{name}={value}" for name, value in options.items()] + [
        "--stop=t ",
        r"--stop=\n",
        "--stop",
        "z",
    ]
    options["stop"] = ["t ", "\n", "z"]
    assert cli.main(["predict", f"--model={exported}", *flags, *prompts]) == 0
    results = predicted(capsys)
    assert [list(result) for result in results] == [["prompt", "text", "score", "truncated"]] * 4
    for result, expected in zip(results, model.generate(prompts, **options), strict=True):
        assert (result["prompt"], result["text"]) == (expected.prompt, expected.text)
        assert result["score"] == pytest.approx(expected.score, abs=1e-4)


def test_predict_has_options_for_whatever_is_not_given(exported, model, capsys, tmp_path):
    (tmp_path / "prompts.txt").write_text("the \nou est", encoding="utf-8")
    assert cli.main(["predict", f"--model={exported}", f"--input={tmp_path / 'prompts.txt'}"]) == 0
    expected = model.generate(["the ", "ou est"], max_length=200, seed=0)
    assert [result["text"] for result in predicted(capsys)] == [result.text for result in expected]
    assert cli.main(["predict", f"--model={exported}", "--temperature=0", "the ", "--max_length", "3"]) == 0
    (greedy,) = predicted(capsys)
    assert greedy["text"] == model.generate(["the "], temperature=0, max_length=3)[0].text


def test_help_of_predict_has_the_options_of_the_model(exported, exported_model, capsys):
    printed = {}
    for path in (exported, exported_model, None):
        assert cli.main(["predict", "--help", *([f"--model={path}"] if path else [])]) == 0
        printed[path] = capsys.readouterr().out
    for flag in ("max_length", "temperature", "top_k", "top_p", "seed", "stop"):
        assert f"--{flag}=" in printed[exported]
        assert f"--{flag}" not in printed[exported_model]
        # Without a model, those of every task.
        assert f"--{flag}=" in printed[None].partition("for language_modeling:")[2]
    assert all("--input" in text for text in printed.values())


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--max_length=0", "--max_length=0"),
        ("--max_length=1000000", "at most 10,000 characters"),
        ("--temperature=-1", "--temperature=-1"),
        ("--temperature=warm", "--temperature=warm"),
        ("--top_k=-1", "--top_k=-1"),
        ("--top_p=0", "--top_p=0"),
        ("--top_p=1.5", "--top_p=1.5"),
        ("--seed=-1", "--seed=-1"),
        (
            "--temperature=0 --seed=1",
            "--seed=1 has an effect only with --temperature>0, but --temperature is 0.0",
        ),
        ("--temperature=0 --top_k=1", "--top_k=1 has an effect only with --temperature>0"),
        ("--temperature=0 --top_p=1", "--top_p=1.0 has an effect only with --temperature>0"),
        ("--units=3", "'units'"),
    ],
)
def test_flags_that_make_no_sense_are_refused(exported, capsys, flag, said):
    assert cli.main(["predict", f"--model={exported}", *flag.split(), "the "]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("unroll: ")
    assert said in line
    assert not captured.out


def test_options_of_another_task_are_unknown(exported_model, capsys):
    assert cli.main(["predict", f"--model={exported_model}", "--temperature=0", "Good."]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Unknown command line flag 'temperature'" in line


def test_predict_writes_plain_text_on_a_terminal(exported, model):
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("unroll"), "predict", f"--model={exported}"]
    command += ["--seed=3", "--max_length=30", "the ", "où est"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        written = b""
        # The end of a terminal is an error, or nothing more.
        try:
            while piece := os.read(ours, 1024):
                written += piece
        except OSError:
            pass
        os.close(ours)
    assert process.returncode == 0
    expected = model.generate(["the ", "où est"], seed=3, max_length=30)
    # A terminal makes two characters of the end of a line.
    assert written.decode().replace("\r\n", "\n") == "".join(f"{r.prompt}{r.text}\n" for r in expected)


def test_next_characters_of_a_model_of_bytes_are_all_told(of_bytes):
    probabilities = of_bytes.next_characters("é")
    # All bytes, the end, and the unknown one.
    assert len(probabilities) == 258
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert {"", "a", "\\x80", "\\xff"} <= probabilities.keys()


def test_a_seed_may_be_a_number_of_numpy(model):
    assert model.generate(["a"], seed=np.int64(3)) == model.generate(["a"], seed=3)


def test_an_empty_text_has_no_negative_zero_of_bits(model):
    (result,) = model.score([""])
    assert str(result.bits_per_character) == "0.0"


# Models of words and subwords.


@pytest.fixture(scope="module", params=["words", "subwords"])
def of_pieces(tmp_path_factory, request):
    """An exported model of words or subwords without training, and its codec."""
    tf.random.set_seed(0)
    texts = [b"the cat sat on a mat. ", b"the dog didn't sit\non the cat's mat. "]
    encoder = RunningTextCodec.learn([texts], tokenizer=request.param, max_size=40)
    model = LanguageModel(len(encoder), LanguageModelOptions(cell="gru", units=5, embedding_size=4))
    model(tf.ones([1, 1], tf.int32))
    path = tmp_path_factory.mktemp("pieces") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "verification", not_verified)
        saved_model.export(signatures.bundle(model, encoder), path)
    return unroll.serving.load(path), encoder


def test_pieces_are_streamed_as_they_are_generated(of_pieces):
    model, encoder = of_pieces
    options = {"max_length": 30, "temperature": 1.5, "seed": 3}
    (written,) = model.generate(["the cat"], **options)
    streamed = [*model.stream("the cat", **options)]
    assert "".join(streamed) == written.text
    assert {piece.encode() for piece in streamed} <= {*encoder.tokens}
    assert len(streamed) <= 30 < len(written.text)


@pytest.mark.parametrize("at", [5, 12, 17])
def test_a_stop_string_may_end_within_a_piece(of_pieces, at):
    model, _ = of_pieces
    options = {"max_length": 30, "temperature": 1.5, "seed": 3}
    (whole,) = model.generate(["the"], **options)
    stop = whole.text[at : at + 3]
    expected = whole.text[: whole.text.index(stop) + 3]
    (written,) = model.generate(["the"], stop=[stop, "never"], **options)
    assert written.text == expected
    assert not written.truncated
    assert "".join(model.stream("the", stop=[stop, "never"], **options)) == expected


def test_bits_of_a_model_of_pieces_are_those_of_characters(of_pieces):
    model, encoder = of_pieces
    text = "the cat didn't sit\n"
    (score,) = model.score([text])
    (ids,) = encoder.encode(tf.constant([text])).to_list()
    assert score.characters == len(text) > len(ids)
    assert score.bits_per_character == pytest.approx(-score.log_probability / len(text) / np.log(2))
