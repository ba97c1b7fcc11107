"""What a process that only trains does without: libraries that take as long to import as a small corpus to learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heads.base import spare
from heads.families import lightgbm_head

HEAVY = ("numba", "pandas", "scipy", "sklearn", "matplotlib")


def imported(code: str) -> set[str]:
    """Top names of all modules of a process that has run some code."""
    said = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=120)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_what_is_hidden_cannot_be_imported_and_what_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with spare.hide(("colorsys", "json")):
        with pytest.raises(ImportError):
            import colorsys
        import json

        assert json is sys.modules["json"]
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_lightgbm_comes_without_what_no_head_uses_where_a_process_only_trains() -> None:
    found = imported("from heads.families import lightgbm_head; lightgbm_head.load()")
    assert "lightgbm" in found and not {*lightgbm_head.UNUSED_MODULES} & found


def test_predictions_of_a_small_corpus_need_no_heavy_library(tmp_path: Path) -> None:
    code = f"""
import numpy as np
from pathlib import Path
from heads.abaw.tasks import TASKS
from heads.base.linear import softmax
from heads.data import float16, predictions
import heads.train.job
halves, frames, scores = np.ones((4, 8), np.float16), np.arange(1, 5, dtype=np.int32), np.zeros((4, 8), np.float32)
assert float16.is_finite(halves)
float16.widen(halves, np.arange(4), scores)
made = predictions.Predictions(TASKS["expr"].outputs, {{"a": (frames, softmax(scores).astype(np.float32))}})
predictions.write(Path({str(tmp_path / "x.parquet")!r}), made)
"""
    assert not {*HEAVY} & imported(code)
