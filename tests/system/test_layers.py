"""The house's rules that no single module can break alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ("extract", "heads", "blend")
STACK = {
    "extract": "runtime config_file config jobs networks media demo engines faces features tabular audio "
    "cluster_job export learning list_networks run enlarge pretrain bench",
    "heads": "abaw search_space data base families config corpus_checks train run finetune tune bench",
    "blend": "html film tasks config pool decision calibrate search crossfit submission unlabelled_test report "
    "report.html "
    "pipeline compile_kernels single_task multitask dry_run run apply check_predictions check compare init dashboard "
    "predict bench studies program",
}
"""Rooms and root files of each package, from the bottom: imports point to what stands further left, lazy ones too."""
HEAVY = (
    "torch",
    "tensorflow",
    "keras",
    "lightgbm",
    "lightautoml",
    "optuna",
    "numba",
    "openvino",
    "onnxruntime",
    "onnx",
    "pandas",
    "sklearn",
    "plotly",
    "timm",
    "transformers",
)
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in ORDER
    for path in sorted((ROOT / package).rglob("*.py"))
}
ROOMS = {module.rpartition(".")[0] for module in MODULES}
MOST_MODULES = 15
FEWEST_LINES = 60


def imports_of(module: str) -> set[str]:
    """The project's modules that a module imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{source}.{alias.name}" for alias in node.names} | {source}
    ours = {name for name in found if name.partition(".")[0] in ORDER}
    there = {*MODULES, *ROOMS}
    unknown = {name for name in ours - there if name.rpartition(".")[0] not in {*MODULES, "extract.demo"}}
    assert not unknown, f"{module} imports what is not there: {unknown}"
    return found & set(MODULES) - {module}


IMPORTS = {module: imports_of(module) for module in MODULES}


def room_of(module: str) -> str:
    """The folder of a module; a file beside the folders of a package stands for itself."""
    folder, _, _ = module.removesuffix(".__init__").rpartition(".")
    return folder if "." in folder else module


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Every group of nodes that reach each other (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in arrows:
        if node not in number:
            visit(node)
    return groups


def test_no_circle_of_imports_among_files_or_rooms():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]], "the test itself can fail"
    assert circles(IMPORTS) == []
    rooms: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        rooms.setdefault(room_of(module), set()).update(room_of(other) for other in others)
    assert circles({room: others - {room} for room, others in rooms.items()}) == []


def test_imports_point_down_the_stack():
    place = {}
    for package in ORDER:
        for number, name in enumerate(STACK[package].split()):
            place[f"{package}.{name}"] = (ORDER.index(package), number)
    wrong = []
    for module, others in IMPORTS.items():
        if module.endswith("__init__") and module.count(".") == 1:
            continue
        for other in others:
            here, there = (name if name in place else name.rpartition(".")[0] for name in map(room_of, (module, other)))
            if place[there] > place[here]:
                wrong.append(f"{module} imports {other}")
    assert not wrong


def test_rooms_are_small_and_fragments_have_more_than_one_user():
    folders = Counter(module.rpartition(".")[0] for module in MODULES if not module.endswith("__init__"))
    assert not {folder: count for folder, count in folders.items() if count > MOST_MODULES}
    users = Counter(other for others in IMPORTS.values() for other in others)
    fragments = [
        module
        for module, path in MODULES.items()
        if users[module] == 1
        and (text := path.read_text(encoding="utf-8")).count("\n") < FEWEST_LINES
        and "__main__" not in text
        and not module.endswith("__init__")
        and not module.startswith("extract.demo.")  # a file for each part of a drawn face
    ]
    assert not fragments


def test_files_are_short_and_say_what_they_are_for():
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 450, module
        assert ast.get_docstring(ast.parse(text)), module


def test_every_room_lists_what_is_in_it():
    for folder in {path.parent for path in MODULES.values()}:
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        named = {line.partition(": ")[0] for line in said.split("\n")[2:]}
        there = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        there |= {f"{path.name}/" for path in folder.iterdir() if (path / "__init__.py").is_file()}
        assert folder.name == "demo" or named == there, folder


@pytest.mark.parametrize("package", ORDER)
def test_reading_the_command_line_loads_nothing_heavy(package):
    code = f"import sys, {package}.run; print(*(name for name in {HEAVY} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.split() == []


def test_a_file_that_is_called_like_a_package_is_named_in_one_line(tmp_path):
    import os
    import subprocess
    import sys

    root = str(ROOT)
    for name, package in (("heads", "blend"), ("extract", "heads"), ("extract", "blend")):
        folder = tmp_path / f"{name}-{package}"
        folder.mkdir()
        (folder / f"{name}.py").write_text("raise RuntimeError('a script of the user, not to be run')\n")
        done = subprocess.run(
            [sys.executable, "-c", f"import {package}"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), root])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {folder / name}.py: hides the package {name!r}")
        assert done.stderr.count("\n") == 1


def test_to_read_a_finished_run_loads_nothing_that_only_makes_one(tmp_path):
    (tmp_path / "one.txt").write_text("valence,arousal\n0.5,-1\n")
    code = (
        "import sys; from pathlib import Path; import blend.run, blend.report.caveats, blend.report.html.index; "
        "from heads.abaw import annotations, tasks; from heads.base.head import FAMILIES, family; "
        f"annotations.read(Path({str(tmp_path / 'one.txt')!r}), tasks.TASKS['va']); [*map(family, FAMILIES)]; "
        f"print(*sorted(sys.modules.keys() & set({HEAVY}) - {{'onnx'}}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
