"""The wheel: it is complete, and works without the source tree."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("common", "models", "tasks", "export", "serving")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The unpacked wheel, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "unpacked")
    return folder / "unpacked"


def sources(pattern):
    return {path.relative_to(ROOT).as_posix() for name in FOLDERS for path in (ROOT / name).rglob(pattern)}


def test_every_module_and_data_file_is_in_the_wheel(unpacked):
    found = {path.relative_to(unpacked / "unroll").as_posix() for path in (unpacked / "unroll").rglob("*.*")}
    data = sources("presets/*.flags") | sources("templates/*") | sources("server/page/*")
    assert data > {
        "tasks/sentiment/presets/demo.flags",
        "export/templates/models.config",
        "serving/server/page/index.html",
    }
    assert found == sources("*.py") | data


def test_every_folder_with_modules_is_a_package():
    folders = {Path(path).parent.as_posix() for path in sources("*.py")}
    assert {f"{folder}/__init__.py" for folder in folders} <= sources("__init__.py")


def test_nothing_else_lands_in_site_packages(unpacked):
    names = {path.name for path in unpacked.iterdir()}
    assert "unroll" in names
    assert all(name == "unroll" or name.endswith(".dist-info") for name in names)
    # A namespace package: the root of the repository has no `__init__.py`.
    assert {path.name for path in (unpacked / "unroll").iterdir()} == set(FOLDERS)


def test_console_script_and_licence_are_in_the_wheel(unpacked):
    (info,) = unpacked.glob("*.dist-info")
    assert "unroll = unroll.tasks.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
    assert (info / "licenses" / "LICENSE").is_file()
    assert "License: Apache-2.0\n" in (info / "METADATA").read_text(encoding="utf-8")


def test_the_wheel_works_without_the_source_tree(unpacked, tmp_path):
    modules = [
        ".".join(("unroll", *Path(path).with_suffix("").parts)).removesuffix(".__init__")
        for path in sources("*.py")
    ]
    program = """
import importlib, json, sys

# The editable install would hide files that the wheel lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in f"{finder} {finder.__class__}".lower()]
sys.path_hooks[:] = [hook for hook in sys.path_hooks if "editable" not in repr(hook).lower()]
sys.path_importer_cache.clear()
import unroll.models.recurrent, unroll.serving, unroll.tasks.cli

assert unroll.tasks.cli.main(["train", "sentiment", "--help"]) == 0
for name in json.load(sys.stdin):
    importlib.import_module(name)
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("unroll.")]
json.dump(files, sys.stderr)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(sorted(modules)),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 0, result.stderr
    assert "one of: demo" in result.stdout
    files = json.loads(result.stderr.splitlines()[-1])
    assert len(files) == len(modules)
    assert all(Path(file).is_relative_to(unpacked) for file in files)
