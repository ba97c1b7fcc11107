"""`extract.py`, `heads.py` or `blend.py`, or a folder of that name, where the user starts a command: real processes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.corpora import conftest_of

from extract.runtime.process import python_path

ROOT = Path(__file__).parents[2]
SCRIPT = "raise RuntimeError('a script of the user, not to be run')\n"
SETTINGS = """
[heads.va]
use = ["lightgbm"]
[heads.va.lightgbm]
trees = 2
"""


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python, started in a folder that it finds before the packages."""
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("hidden", "command"), [("extract", "heads"), ("extract", "blend"), ("heads", "blend")])
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"])
def test_a_command_names_the_file_that_hides_a_package_it_imports(
    tmp_path: Path, hidden: str, command: str, form: str
) -> None:
    (path := tmp_path / form.format(hidden)).parent.mkdir(exist_ok=True)
    path.write_text(SCRIPT)
    done = start(tmp_path, "-m", f"{command}.run", "--help")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"error: {path}: hides the package {hidden!r}") and "rename it" in done.stderr
    assert start(tmp_path, "-P", "-m", f"{command}.run", "--help").returncode == 0, "what the line advises"


@pytest.mark.parametrize("name", ["extract", "heads", "blend"])
def test_pythons_own_answer_is_the_readmes_and_what_that_advises_works(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("")
    said = start(tmp_path, "-m", f"{name}.run").stderr
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    assert said.partition(": ")[2].partition(" (")[0].replace(f"'{name}.run'", "'extract.run'") in readme, said
    assert start(tmp_path, "-P", "-m", f"{name}.run", "--help").returncode == 0


def test_a_script_in_a_folder_of_the_project_hides_it_too(tmp_path: Path) -> None:
    """Its folder's folder is the packages' own."""
    for name in ("extract", "heads"):
        (copy := tmp_path / "project" / name / "__init__.py").parent.mkdir(parents=True)
        copy.write_text((ROOT / name / "__init__.py").read_text(encoding="utf-8"), encoding="utf-8")
    (path := tmp_path / "project" / "scripts" / "extract.py").parent.mkdir()
    path.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "project")}
    command = [sys.executable, "-c", "import heads"]
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {path}: hides"), done.stderr


@pytest.mark.parametrize(("command", "hidden"), [("heads", ["extract"]), ("blend", ["extract", "heads"])])
def test_a_folder_without_init_hides_nothing(tmp_path: Path, command: str, hidden: list[str]) -> None:
    """Under an editable installation Python would take `extract.run` from it."""
    for name in hidden:
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.py").write_text(SCRIPT)
        (tmp_path / name / "config.py").write_text(SCRIPT)
    code = (
        "import importlib.machinery, sys\n"
        "class Editable:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        return importlib.machinery.PathFinder.find_spec(name, path or [{str(ROOT)!r}])\n"
        'sys.meta_path[:] = [item for item in sys.meta_path if "__editable__" not in getattr(item, "__module__", "")]\n'
        f"sys.meta_path.append(Editable)\nimport {command}.config, extract.run\nprint(extract.run.__file__)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "not to be run" not in done.stderr, done.stderr


def test_the_console_command_and_what_it_starts_never_look_into_the_users_folder(tmp_path: Path) -> None:
    corpus = conftest_of("heads").make_corpus(tmp_path)
    toml = corpus.toml(SETTINGS, '["two"]')
    (folder := tmp_path / "mine").mkdir()
    for name in ("extract", "heads", "blend"):
        (folder / f"{name}.py").write_text(SCRIPT)
    (script := tmp_path / "bin" / "affect-heads").parent.mkdir()
    script.write_text("from blend.program import main\nmain()\n")  # as it is installed: beside it lies nothing of ours
    done = start(folder, str(script), "heads", "--task", "va", "--config", str(toml), "--work", str(corpus.work))
    assert done.returncode == 0, done.stderr
    assert list(corpus.work.glob("heads/va/*/model/DONE")), "learnt in a process of its own"


def test_every_process_that_is_started_by_a_modules_name_gets_the_packages_path() -> None:
    started = []
    for package in ("extract", "heads", "blend"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            lists = [node.elts for node in ast.walk(tree) if isinstance(node, ast.List) and node.elts]
            starts = [items for items in lists if ast.unparse(items[0]) == "sys.executable"]
            if any(getattr(item, "value", "") == "-m" for items in starts for item in items):
                started.append(path)
                assert "python_path()" in path.read_text(encoding="utf-8"), path
    assert len(started) > 6
    assert python_path()["PYTHONSAFEPATH"] == "1" and python_path()["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
