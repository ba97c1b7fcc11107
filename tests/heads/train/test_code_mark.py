from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heads.base.head import FAMILIES
from heads.train import inputs as head_inputs

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("code_mark.py", "learn.py", "tune.py", "tune_worker.py", "bench_mlp.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    monkeypatch.setattr(head_inputs, "__file__", str(tmp_path / "code_mark.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "counts"),
    [("learn.py", True), ("new_head.py", True), ("tune_worker.py", False), ("bench_mlp.py", False), ("a.txt", False)],
)
def test_only_code_that_can_change_a_head_counts(package: Path, name: str, counts: bool) -> None:
    before = head_inputs.code_mark()
    assert head_inputs.code_mark() == before
    (package / name).write_text("# changed\n")
    assert (head_inputs.code_mark() != before) == counts


def test_heads_learn_without_what_is_left_out() -> None:
    """No module of a head, nor the process that trains it, imports searches or benchmarks."""
    modules = ["heads.train", *(name.partition(":")[0] for name in FAMILIES.values())]
    code = f"import sys, {', '.join(modules)}; print(*(name for name in sys.modules if name.startswith('heads.')))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("heads.") for name in ran.stdout.split()}
    assert "learn" in loaded
    assert {name for name in loaded if name.startswith(head_inputs.APART)} <= {"tune_space"}
