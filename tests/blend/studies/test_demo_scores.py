"""Scores of single heads on the demo against a loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from blend.crossfit import estimate
from blend.studies import demo_scores as ours
from blend.studies.ablation import Data
from heads.abaw import metrics
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import predictions
from heads.data.predictions import Predictions

VA = TASKS["va"]


def test_a_head_alone_is_smoothed_as_other_videos_say(data: Data, tmp_path: Path) -> None:
    def smoothed(part: str, video: str, k: int) -> np.ndarray:
        scores = predictions.read(tmp_path / f"{part}.parquet", VA).videos[video][1].astype(np.float64)
        return np.array([scores[max(0, t - k) : t + k + 1].mean(0) for t in range(80)])[
            data.annotations[part][video].valid
        ]

    def score(part: str, videos: list[str], ks: list[int]) -> float:
        truth = [data.annotations[part][v].values[data.annotations[part][v].valid] for v in videos]
        found = [smoothed(part, v, k) for v, k in zip(videos, ks, strict=True)]
        return float(metrics.ccc_per_dimension(np.concatenate(truth), np.concatenate(found)).mean())

    def best(videos: list[str]) -> int:
        return max(ours.KS, key=lambda k: score("val", videos, [k] * len(videos)))

    names = [f"val{v}" for v in range(5)]
    folds = estimate.split(ours.read_pool(data, {"head": tmp_path}, "val"), 5, 3)
    held = {names[v]: best([n for i, n in enumerate(names) if i not in fold]) for fold in folds for v in fold}
    crossed, test = ours.score_alone(data, tmp_path, 3)
    assert crossed == pytest.approx(score("val", names, [held[name] for name in names]), abs=1e-6)
    assert test == pytest.approx(score("test", ["test0", "test1"], [best(names)] * 2), abs=1e-6)
    kept = json.loads((tmp_path / "alone.json").read_text())
    assert (kept["cross_fitted"], kept["test"]) == (crossed, test)
    (tmp_path / "alone.json").write_text(json.dumps(kept | {"test": 0.25}))
    assert ours.score_alone(data, tmp_path, 3)[1] == 0.25, "what is known is not computed again"
    assert ours.score_alone(data, tmp_path, 4)[1] == test, "other folds"


def test_thresholds_of_units_are_chosen_too(tmp_path: Path) -> None:
    au, rng, truth, found = TASKS["au"], np.random.default_rng(1), {}, {}
    for v in range(4):
        values = (rng.random((60, 12)) < 0.3).astype(np.uint8)
        truth[f"v{v}"] = Annotation(f"v{v}", values, np.ones(60, bool))
        found[f"v{v}"] = (np.arange(1, 61, dtype=np.int32), (0.1 + 0.1 * values).astype(np.float32))
    for part in ("val", "test"):
        predictions.write(tmp_path / f"{part}.parquet", Predictions(au.outputs, found))
    data = Data(tmp_path, au, (), dict.fromkeys(("train", "val", "test"), truth))
    assert ours.score_alone(data, tmp_path, 0) == (1.0, 1.0), "all below 0.5, and yet told apart"
