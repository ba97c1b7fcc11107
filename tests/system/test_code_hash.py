from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blend.pool import provenance
from extract.runtime import run_folder
from heads.base.head import FAMILIES
from heads.train import provenance as head_inputs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of heads, to edit."""
    copy = tmp_path / "heads"
    shutil.copytree(ROOT / "heads", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(run_folder, "ROOT", tmp_path)
    return copy


EDITS = {
    "run.py": True,
    "new.py": True,
    "train/fit.py": True,
    "families/mlp/training.py": True,
    "families/new/head.py": True,
    "tune/worker.py": False,
    "finetune/corpus.py": False,
    "bench/mlp.py": False,
    "bench/new/part.py": False,
    "README.md": False,
}
"""A file that is edited or added -> whether heads learn again."""


def test_an_edit_in_a_folder_below_counts_but_for_what_no_head_uses(package: Path) -> None:
    for name, counts in EDITS.items():
        before = head_inputs.code_mark()
        assert head_inputs.code_mark() == before
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + "# changed\n" if path.exists() else "# new\n")
        assert (head_inputs.code_mark() != before) == counts, name


def test_a_file_that_moves_is_other_code(package: Path) -> None:
    before = head_inputs.code_mark()
    (package / "data" / "splits.py").rename(package / "base" / "splits.py")
    assert head_inputs.code_mark() != before


def test_a_folder_to_leave_out_that_is_gone_is_a_fault_of_ours(package: Path) -> None:
    shutil.rmtree(package / "bench")
    with pytest.raises(ValueError, match="heads has no bench"):
        head_inputs.code_mark()


def test_heads_learn_without_what_is_left_out() -> None:
    """No module of a head, nor the process that trains it, imports searches or benchmarks."""
    modules = ["heads.train.__main__", *(name.partition(":")[0] for name in FAMILIES.values())]
    code = f"import sys, {', '.join(modules)}; print(*(name for name in sys.modules if name.startswith('heads.')))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in ran.stdout.split()}
    assert "train" in rooms and not rooms & {*head_inputs.MEASURES}


def test_an_edit_of_a_page_or_of_the_selection_changes_no_trial_of_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "blend"
    shutil.copytree(ROOT / "blend", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(run_folder, "ROOT", tmp_path)
    marks = {"trials": (*provenance.MEASURES, *provenance.AFTER_THE_SEARCH), "results": provenance.MEASURES}
    for name, changed in {
        "report/html/page.py": {"results"},
        "report/html/templates/scores.html": {"results"},
        "html/timeline.js": {"results"},
        "crossfit/selection.py": {"results"},
        "pipeline.py": {"results"},
        "search/objective.py": {"trials", "results"},
        "decision/smooth.py": {"trials", "results"},
        "config.py": {"trials", "results"},
        "studies/simulate.py": set(),
        "bench/parts.py": set(),
        "predict/annotate.py": set(),
    }.items():
        before = {what: run_folder.code_hash("blend", exclude) for what, exclude in marks.items()}
        (copy / name).write_text((copy / name).read_text() + "# changed\n")
        now = {what: run_folder.code_hash("blend", exclude) for what, exclude in marks.items()}
        assert {what for what in marks if now[what] != before[what]} == changed, name
