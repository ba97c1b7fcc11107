"""The ablation's table against arithmetic by hand, and a run over made-up features."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from blend import ablation
from extract import store
from extract.config import load
from extract.errors import InputError
from heads import config as heads_config
from heads.labels import Annotation
from heads.tasks import TASKS


def test_the_table_compares_seed_by_seed():
    found = {"mlp": {"": [0.5, 0.6], ablation.BOTH: [0.6, 0.58], "temporal columns": [0.7, 0.7]}}
    plain, temporal, both = ablation.table(found)
    assert (plain["variant"], plain["test"], plain["change"]) == ("", pytest.approx(0.55), 0)
    assert both["change"] == pytest.approx(0.04) and (both["better"], both["seeds"]) == (1, 2)
    assert (both["lowest"], both["highest"]) == (pytest.approx(-0.02), pytest.approx(0.1))
    assert temporal["change"] == pytest.approx(0.15) and temporal["better"] == 2
    lines = ablation.as_markdown(TASKS["va"], [plain, both, temporal]).splitlines()
    assert lines[0].startswith("| va: head | test mean CCC |") and len({line.count("|") for line in lines}) == 1
    assert "| … with temporal columns | 0.700 ± 0.000 | +0.150 | +0.100 to +0.200 | 2 of 2 |" in lines


def test_only_the_demo_has_a_known_test_truth(tmp_path: Path):
    (tmp_path / "own.toml").write_text('[corpus]\nname = "own"\n')
    with pytest.raises(InputError, match="only the demo's test truth is known"):
        ablation.main(load(heads_config.Config, tmp_path / "own.toml", None), "va", tmp_path, 1)


def data(work: Path, monkeypatch: pytest.MonkeyPatch) -> ablation.Data:
    """Nine videos of one network whose va says the truth with noise."""
    rng = np.random.default_rng(0)
    annotations: dict[str, dict[str, Annotation]] = {"train": {}, "val": {}, "test": {}}
    for i in range(9):
        truth = np.tanh(np.cumsum(0.3 * rng.normal(size=(60, 2)), 0)).astype(np.float32)
        noisy = (truth + 0.5 * rng.normal(size=truth.shape)).astype(np.float32)
        features = store.VideoFeatures(
            np.arange(1, 61, dtype=np.int32), logits=rng.normal(size=(60, 3)).astype(np.float32), va=noisy
        )
        store.write(store.path(work, "net", f"v{i}"), features, {"mark": "net"})
        part = "train" if i < 5 else "val" if i < 7 else "test"
        annotations[part][f"v{i}"] = Annotation(f"v{i}", truth, np.ones(60, bool))
    monkeypatch.setattr(ablation, "HEADS", {"lightgbm": ablation.HEADS["lightgbm"]})  # quick
    return ablation.Data(work, TASKS["va"], ("net",), annotations)


def test_heads_are_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = data(tmp_path, monkeypatch)
    kept = tmp_path / "kept.json"
    found = ablation.measured(made, 2, kept)
    assert set(found) == {"lightgbm"} and set(found["lightgbm"]) == {"", ablation.BOTH, "temporal columns"}
    assert all(len(scores) == 2 and 0 < min(scores) < 1 for scores in found["lightgbm"].values())
    assert len(json.loads(kept.read_text())) == 4
    monkeypatch.setattr(ablation, "scores", None)  # nothing is made again
    assert ablation.measured(made, 2, kept) == found


def test_smoothing_and_thresholds_come_from_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The k of validation smooths test: a test split without noise would not have asked for it."""
    made = data(tmp_path, monkeypatch)
    one = ablation.spec(made, "lightgbm", {})
    assert one.settings.temporal == [] and one.settings.networks == "all"
    seen: list[str] = []
    pool = ablation._pool

    def noting(of: ablation.Data, model: object, part: str) -> object:
        seen.append(part)
        return pool(of, model, part)

    monkeypatch.setattr(ablation, "_pool", noting)
    assert len(ablation.scores(made, one, 0, both=True)) == 2
    assert seen == ["val", "test", "test"]
