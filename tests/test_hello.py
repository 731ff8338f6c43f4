"""The textbook example: a model that learns to write one word."""

import pytest
from exported import not_verified

import unroll.serving
from unroll.export import saved_model
from unroll.tasks import cli

# The characters after "", "h", "he", ...; "" is the end of the text.
EXPECTED = [("", "h"), ("h", "e"), ("he", "l"), ("hel", "l"), ("hell", "o"), ("hello", "")]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The directory of the exported model."""
    path = tmp_path_factory.mktemp("hello")
    # Ten files, each a batch: an epoch of ten steps takes hardly longer than one of a single step.
    for number in range(10):
        (path / f"{number}.txt").write_bytes(b"hello")
    command = ["train", "language_modeling", f"--workdir={path / 'run'}"]
    command += ["--dataset=files", f"--train_data={path / '*.txt'}", "--batch=1", "--truncation=6"]
    command += ["--validation_fraction=0", "--test_fraction=0"]
    command += ["--units=8", "--epochs=10", "--learning_rate=0.05"]
    assert cli.main(command) == 0
    with pytest.MonkeyPatch.context() as patch:
        # The verification takes most of the time of an export.
        patch.setattr(saved_model, "verification", not_verified)
        assert cli.main(["export", f"--workdir={path / 'run'}", f"--output={path / 'model'}"]) == 0
    return path / "model"


@pytest.fixture(scope="module")
def model(exported):
    return unroll.serving.load(exported)


@pytest.mark.parametrize(("text", "character"), EXPECTED)
def test_next_character_is_the_right_one(model, text, character):
    probabilities = model.next_characters(text)
    assert probabilities.keys() == {"", "\ufffd", "h", "e", "l", "o"}
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert next(iter(probabilities)) == character
    assert probabilities[character] > 0.9


@pytest.mark.parametrize("prompt", [text for text, _ in EXPECTED])
def test_word_is_completed_and_ends_by_itself(model, prompt):
    (result,) = model.generate([prompt], temperature=0)
    assert (result.prompt, result.text) == (prompt, "hello".removeprefix(prompt))
    assert "".join(model.stream(prompt, temperature=0)) == result.text
    # Nearly certain.
    assert -0.5 < result.score <= 0


def test_word_is_cut_where_it_may_be_no_longer(model):
    results = [model.generate(["h"], temperature=0, max_length=length)[0].text for length in range(1, 6)]
    assert results == ["e", "el", "ell", "ello", "ello"]


def test_word_is_more_probable_than_any_other(model):
    word, *others = model.score(["hello", "helloo", "ellho", "helo", "olleh"])
    assert word.characters == 5
    assert all(word.log_probability > other.log_probability + 1 for other in others)


def test_command_line_answers_with_the_word(exported, capsys):
    assert cli.main(["predict", f"--model={exported}", "--temperature=0", "h"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('{"prompt": "h", "text": "ello", "score": -0.')
    assert printed.count("\n") == 1
