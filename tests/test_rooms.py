"""Imports between files: arrows between rooms point one way, and no files import each other in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Room -> the rooms that it may import, beside itself.
ARROWS = {
    "tasks": {"models", "export", "serving", "common"},
    "export": {"models", "serving", "common"},
    "models": {"common"},
    "serving": {"common"},
    "common": set(),
}


def modules():
    """Path of each module, by its dotted name."""
    paths = [path for room in ARROWS for path in (ROOT / room).rglob("*.py")]
    return {name_of(path): path for path in paths}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(name, path):
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def imports(tree, package):
    """The names of this project that a syntax tree imports, late imports included; `from x import y` gives `x.y`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            name = name.removeprefix("unroll.")
            if name.split(".")[0] in ARROWS:
                yield name


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported_modules(name):
    """The modules that a module imports."""
    for target in imports(TREES[name], package_of(name, MODULES[name])):
        # A name in a module is not a module.
        yield target if target in MODULES else target.rpartition(".")[0]


def test_there_are_modules():
    assert {
        "tasks.cli",
        "export.saved_model",
        "models.recurrent",
        "serving",
        "common.errors",
    } <= MODULES.keys()
    assert "common.errors" in imported_modules("tasks.cli")
    assert "serving.model" in imported_modules("serving.sentiment")


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_rooms_below_it(room):
    allowed = ARROWS[room] | {room}
    wrong = {
        f"{name} imports {target}"
        for name in MODULES
        if name.split(".")[0] == room
        for target in imported_modules(name)
        if target.split(".")[0] not in allowed
    }
    assert not wrong


def test_all_imports_between_files_exist():
    wrong = {
        f"{name} imports {target}"
        for name in MODULES
        for target in imported_modules(name)
        if target not in MODULES
    }
    # The package itself is a namespace, with folders alone.
    assert not {line for line in wrong if not (ROOT / line.split()[-1].replace(".", "/")).is_dir()}


def test_no_circle_of_files():
    graph = {name: {target for target in imported_modules(name) if target != name} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"A circle: {' <- '.join(error.args[1])}")


def test_nothing_of_this_project_is_imported_for_type_checkers_alone():
    wrong = {
        f"{name} imports {target}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for target in imports(node, package_of(name, MODULES[name]))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("room", "known"),
    [
        ("training", {"training", "data", "task"}),
        ("inspection", {"inspection", "training", "data", "task"}),
        ("datasets", {"datasets", "training"}),
    ],
)
def test_what_all_applications_share_knows_none_of_them(room, known):
    wrong = {
        f"{name} imports {target}"
        for name in MODULES
        if name.startswith(f"tasks.{room}.")
        for target in imported_modules(name)
        if target.startswith("tasks.") and target.split(".")[1] not in known
    }
    assert not wrong
