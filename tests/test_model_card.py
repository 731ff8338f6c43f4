"""The card of an exported model."""

import json
import re
import shlex

import pytest

from unroll.export.bundle import UNKNOWN, About
from unroll.export.demonstration import Demonstration
from unroll.export.model_card import write_card


@pytest.fixture(scope="module")
def card(exported_model):
    return (exported_model / "1" / "MODEL_CARD.md").read_text(encoding="utf-8")


def section(card, title):
    """The text below a title."""
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE)[1]


def test_facts_are_those_of_the_run(card, trained_run):
    assert card.startswith("# sentiment\n\nText in, label out. A model for sentiment, exported by unroll ")
    best = json.loads((trained_run / "best" / "metrics.json").read_text())
    quality = section(card, "Quality")
    assert "| metric | validation part |" in quality
    for metric in ("loss", "accuracy", "f1"):
        assert f"| {metric} | {best[metric]:.4g} |" in quality
    data = section(card, "Training data")
    assert "- data set: files\n- train data: reviews.tsv\n" in data
    counts = json.loads((trained_run / "data" / "counts.json").read_text())
    assert f"- training examples: {counts['examples']}\n" in data
    limits = section(card, "Limits")
    assert "negative, neutral, positive" in limits
    assert "first 400 tokens" in limits
    words = json.loads((trained_run / "vocabulary" / "text.json").read_text())["vocabulary"]
    assert f"knows {len(words):,} words" in limits
    model = section(card, "Model")
    assert re.search(r"- Parameters: [1-9][\d,]+\n- Files: [\d.]+ MB\n", model)
    assert "--units=6" in model
    # Paths say where files were on another machine.
    assert "/" not in section(card, "Training data") + re.search(r"unroll train .*", model)[0]


def test_signatures_are_listed_with_their_tensors(card):
    assert (
        "| `serving_default` | `text` string [batch] | `known_tokens` int32 [batch], `label` string [batch], "
        "`labels` string [batch, 3], `probabilities` float32 [batch, 3], `score` float32 [batch], "
        "`truncated` bool [batch] |"
    ) in section(card, "Signatures")


def test_the_curl_line_gives_the_answer_on_a_server(card, served):
    if not served.is_ours:
        pytest.skip("The other server may round otherwise.")
    use = section(card, "Use")
    command = shlex.split(re.search(r"```sh\n(.*?)\n```", use, re.DOTALL)[1])
    assert command[:2] == ["curl", "--data"]
    answer = re.search(r"```json\n(.*?)\n```", use, re.DOTALL)[1]
    path = command[3].removeprefix("http://localhost:8501")
    status, found = served.post(path, command[2].encode())
    assert status == 200
    expected = json.loads(answer)["outputs"]
    for name, values in found["outputs"].items():
        if isinstance(values[0], float):
            assert values == pytest.approx(expected[name], abs=1e-5)
        elif name != "probabilities":
            assert values == expected[name]


def test_the_python_lines_print_their_output(card, exported_model, monkeypatch, capsys):
    use = section(card, "Use")
    monkeypatch.chdir(exported_model / "1")
    exec(re.search(r"```python\n(.*?)```", use, re.DOTALL)[1], {})
    assert capsys.readouterr().out == re.search(r"```text\n(.*?)```", use, re.DOTALL)[1]


def test_figures_of_an_evaluation_and_facts_that_are_unknown(exported_model, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes((exported_model / "1" / "saved_model.pb").read_bytes())
    about = About(split="test", metrics={"bleu": 34.4126, "loss": 0.00012345})
    write_card(tmp_path, "demo", "translation", about, Demonstration())
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| metric | test part |\n| --- | --- |\n| bleu | 34.41 |\n| loss | 0.0001234 |" in card
    write_card(tmp_path, "demo", "translation", UNKNOWN, Demonstration())
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)", card, re.MULTILINE) == ["Model", "Signatures"]
