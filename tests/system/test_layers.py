"""The house's rules that no single module can break alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ("extract", "heads", "blend")
HEAVY = (
    "torch",
    "tensorflow",
    "keras",
    "lightgbm",
    "lightautoml",
    "optuna",
    "numba",
    "openvino",
    "onnx",
    "pandas",
    "sklearn",
    "plotly",
    "timm",
)
MODULES = sorted(path for package in ORDER for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of every import in a file, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_leftward(path):
    package = path.relative_to(ROOT).parts[0]
    further_right = set(ORDER[ORDER.index(package) + 1 :])
    assert not imported(path) & further_right


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_say_what_they_are_for(path):
    assert path.read_text().count("\n") <= 450
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("package", ORDER)
def test_reading_the_command_line_loads_nothing_heavy(package):
    code = f"import sys, {package}.run; print(*(name for name in {HEAVY} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.split() == []


def test_a_file_that_is_called_like_a_package_is_named_in_one_line(tmp_path):
    import os
    import subprocess
    import sys

    root = str(Path(__file__).resolve().parents[2])
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
