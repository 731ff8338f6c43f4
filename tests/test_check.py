"""`unroll check`: what it finds in exports that are in order, and in damaged ones."""

import json
import shutil

import pytest

from unroll.common.checksums import seal
from unroll.export import check
from unroll.serving.versions import CHECKSUMS
from unroll.tasks import cli


@pytest.fixture(autouse=True)
def _few_calls(monkeypatch):
    monkeypatch.setattr(check, "_SECONDS", 0)


@pytest.fixture
def copy(exported_model, tmp_path):
    """A copy to damage."""
    return shutil.copytree(exported_model, tmp_path / "sentiment")


def test_a_good_export_is_measured(exported_model, capsys):
    assert cli.main(["check", f"--model={exported_model}"]) == 0
    path, *lines = capsys.readouterr().out.splitlines()
    assert path == str(exported_model / "1")
    found = {line[2:18].rstrip(): line[19:] for line in lines}
    assert "as they were exported" in found["files"]
    assert found["configuration"].startswith(
        "models.config, batching.config, monitoring.config, compose.yaml, kub"
    )
    assert found["graph"].endswith("kinds of op, all of them TensorFlow's own")
    assert "examples answered as at the export" in found["requests"]
    for signature in json.loads((exported_model / "1" / "assets.extra" / "unroll.json").read_text())[
        "examples"
    ]:
        assert all(f"batch {size}: " in found[signature] for size in (1, 8, 32))
    assert not any("WRONG" in line for line in lines)


def overwritten(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


DAMAGES = {
    "a weight": (
        lambda model: overwritten(model / "1" / "variables" / "variables.index", b"\x00", b"\x01"),
        "files",
        "variables.index is damaged",
    ),
    "a configuration": (
        lambda model: overwritten(model / "models.config", b"name:", b"nome:"),
        "configuration",
        "models.config cannot be read",
    ),
    "a manifest": (
        lambda model: overwritten(model / "kubernetes.yaml", b"metadata:", b"metadata: ["),
        "configuration",
        "kubernetes.yaml is not YAML",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damages_are_found_and_the_exit_code_is_1(copy, damage, capsys):
    do, subject, message = DAMAGES[damage]
    do(copy)
    assert cli.main(["check", f"--model={copy}"]) == 1
    printed = capsys.readouterr()
    (line,) = [line for line in printed.out.splitlines() if line.startswith(f"  {subject} ")]
    assert "WRONG: " in line
    assert message in line
    assert "is not in order: " in printed.err
    assert subject in printed.err


def test_other_answers_than_at_the_export_are_found(copy, capsys):
    description = copy / "1" / "assets.extra" / "unroll.json"
    content = json.loads(description.read_text())
    outputs = content["examples"]["serving_default"][0]["outputs"]
    outputs["score"]["values"][0] += 0.01
    description.write_text(json.dumps(content))
    seal(copy / "1", CHECKSUMS)
    assert cli.main(["check", f"--model={copy}"]) == 1
    assert "WRONG: Signature 'serving_default', output 'score'" in capsys.readouterr().out


def test_a_model_is_needed(tmp_path, capsys):
    assert cli.main(["check"]) == 2
    assert cli.main(["check", f"--model={tmp_path}"]) == 2
    assert "holds no exported model" in capsys.readouterr().err
