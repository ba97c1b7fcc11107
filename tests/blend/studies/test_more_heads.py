"""Heads on request beside the standard ones: the table by hand, and which blends are made of which heads."""

import json

import numpy as np
import pytest

from blend import run
from blend.config import Config
from blend.studies import demo_scores, more_heads
from blend.studies.ablation import Data
from extract.config import CONFIGS, load
from extract.runtime.errors import InputError
from heads import run as heads_run
from heads.abaw.tasks import TASKS

VA = TASKS["va"]


def test_the_table_has_means_deviations_and_what_the_blend_gains():
    result = {
        more_heads.BEST: [(0.5, 0.4), (0.7, 0.4)],
        "linear": [(0.1, 0.2), (0.1, 0.4)],
        more_heads.WITHOUT: [(0.5, 0.4), (0.5, 0.4)],
        more_heads.WITH: [(0.6, 0.45), (0.4, 0.38)],
    }
    lines = more_heads.as_markdown(VA, result, {"difference": 0.015, "interval": [-0.02, 0.05]}).splitlines()
    assert lines[2:6] == [
        "| best standard head | 0.600 ± 0.100 | 0.400 ± 0.000 |",
        "| linear | 0.100 ± 0.000 | 0.300 ± 0.100 |",
        "| blend of the standard heads | 0.500 ± 0.000 | 0.400 ± 0.000 |",
        "| blend of all | 0.500 ± 0.100 | 0.415 ± 0.035 |",
    ]
    assert lines[-3].endswith("cross-fitted, by seed: +0.100, -0.100")
    assert lines[-2].endswith("test, by seed: +0.050, -0.020")
    assert lines[-1] == "Their mean +0.015, 95 % interval over test videos -0.020 to +0.050"


def test_only_heads_on_request_can_be_added(tmp_path, monkeypatch):
    config = load(Config, CONFIGS / "demo.toml", None)
    monkeypatch.setattr(more_heads, "read_demo", lambda *given: Data(tmp_path, VA, (), {}))
    with pytest.raises(InputError, match=r"--add mlp: these run by default; give heads that run on request"):
        more_heads.main(config, "va", ["mlp", "linear_all"], tmp_path, 1)


def test_heads_of_each_seed_are_blended_without_and_with_what_was_added(tmp_path, monkeypatch):
    config = load(Config, CONFIGS / "demo.toml", ["heads.va.mlp.epochs=3"])
    for name in ("features", "corpus"):
        (tmp_path / name).mkdir()
    crossed = {"mlp-demo_enet": 0.4, "mlp-demo_mt_enet": 0.6, "linear-demo_enet": 0.9, "linear_all": 0.5}
    blended = []

    def heads(config, task, work, seed):
        assert {"mlp", "lightgbm", "linear", "linear_all"} <= {
            *config.heads.va.use
        } and "tcn" not in config.heads.va.use
        assert config.heads.va.overrides == {"mlp": {"epochs": 3}}
        found = {name: work / name for name in crossed}
        for folder in found.values():
            folder.mkdir(exist_ok=True)
            for part in ("val", "test"):
                (folder / f"{part}.parquet").write_text(folder.name)
        return found

    def blend(config, task, work, seed, heads):
        blended.append((seed, heads))
        return {"cross_fitted": {"pooled": 0.1 * len(heads)}, "test": {"score": 0.2 * len(heads) + 0.01 * seed}}

    monkeypatch.setattr(more_heads, "read_demo", lambda *given: Data(tmp_path, VA, (), {"test": {}}))
    monkeypatch.setattr(heads_run, "main", heads)
    monkeypatch.setattr(run, "main", blend)
    monkeypatch.setattr(demo_scores, "count_decisions", lambda data, heads, params: [[float(len(heads))]])
    monkeypatch.setattr(demo_scores, "score_alone", lambda data, where, seed: (crossed[where.name], float(seed)))
    monkeypatch.setattr(more_heads.demo_scores.compare, "gain", lambda task, ours, others, *rest: (ours, others))
    result, (ours, others) = more_heads.main(config, "va", ["linear", "linear_all"], tmp_path, 2)
    assert result == {
        more_heads.BEST: [(0.6, 0.0), (0.6, 1.0)],
        "linear-demo_enet": [(0.9, 0.0), (0.9, 1.0)],
        "linear_all": [(0.5, 0.0), (0.5, 1.0)],
        more_heads.WITH: [(0.4, 0.8), (0.4, pytest.approx(0.81))],
        more_heads.WITHOUT: [(0.2, 0.4), (0.2, pytest.approx(0.41))],
    }
    standard = ["mlp-demo_enet", "mlp-demo_mt_enet"]
    assert blended == [(seed, names) for seed in range(2) for names in ([*crossed], standard)]
    assert np.array(ours).tolist() == [[[4.0]]] * 2 and np.array(others).tolist() == [[[2.0]]] * 2
    again, _ = more_heads.main(config, "va", ["linear", "linear_all"], tmp_path, 2)
    assert again == result and len(blended) == 4, "what is known is not blended again"
    kept = json.loads((tmp_path / "more_heads" / "1" / "va-linear-linear_all.json").read_text())
    assert kept["counts"] == [[4.0]]
