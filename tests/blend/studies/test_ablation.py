"""The ablation's table against arithmetic by hand, and a run over made-up features."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blend.studies import ablation
from blend.studies.ablation import Score
from extract.config import load
from extract.features import store
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS

HEADS = ablation.HEADS


def test_the_table_compares_seed_by_seed():
    known = {"": ([0.5, 0.6], 0.55), ablation.TRAINVAL: ([0.6, 0.58], None), "temporal columns": ([0.7, 0.7], 0.65)}
    found = {"mlp": {variant: [Score(one, val) for one in test] for variant, (test, val) in known.items()}}
    plain, temporal, both = ablation.table(found)
    assert (plain["variant"], plain["test"], plain["change"]) == ("", pytest.approx(0.55), 0)
    assert both["change"] == pytest.approx(0.04) and (both["better"], both["seeds"]) == (1, 2)
    assert (both["lowest"], both["highest"]) == (pytest.approx(-0.02), pytest.approx(0.1))
    assert temporal["change"] == pytest.approx(0.15) and temporal["better"] == 2
    assert plain["by_seed"] == [{"test": 0.5, "val": 0.55}, {"test": 0.6, "val": 0.55}]
    assert both["by_seed"][1] == {"test": 0.58, "val": None}
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
    monkeypatch.setattr(ablation, "HEADS", {"lightgbm": HEADS["lightgbm"]})  # quick
    return ablation.Data(work, TASKS["va"], ("net",), annotations)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ablation.Data:
    return data(tmp_path, monkeypatch)


def test_heads_are_measured_once_and_kept(made: ablation.Data, monkeypatch: pytest.MonkeyPatch):
    kept = made.work / "kept.json"
    found = ablation.measure_seeds(made, 2, kept)
    direct = {"direct targets", "temporal columns and direct targets"}
    assert set(found) == {"lightgbm"} and set(found["lightgbm"]) == {"", ablation.TRAINVAL, "temporal columns", *direct}
    for variant, scores in found["lightgbm"].items():
        assert len(scores) == 2 and all(0 < score.test < 1 for score in scores)
        assert all((score.val is None) == (variant == ablation.TRAINVAL) for score in scores)
    assert found["lightgbm"]["direct targets"] != found["lightgbm"][""]
    assert len(json.loads(kept.read_text())) == 8
    with monkeypatch.context() as patch:
        patch.setattr(ablation, "scores", None)  # nothing is made again
        assert ablation.measure_seeds(made, 2, kept) == found


def test_what_other_features_or_labels_gave_does_not_count(made: ablation.Data):
    facts = ablation.facts(made)
    assert ablation.facts(made) == facts
    path = store.path(made.work, "net", "v8")  # of the test split
    features = store.read(path)
    assert features.va is not None
    store.write(path, replace(features, va=-features.va), {"mark": "net"})
    assert ablation.facts(made)["features"] != facts["features"]
    one = made.annotations["val"]["v5"]
    other = replace(one, valid=~one.valid)
    relabelled = replace(made, annotations=made.annotations | {"val": made.annotations["val"] | {"v5": other}})
    assert ablation.facts(relabelled)["annotations"] != facts["annotations"]


def test_temporal_columns_are_those_of_the_head_file(made: ablation.Data, monkeypatch: pytest.MonkeyPatch):
    """The standard mlp on all networks has its own for au; lightgbm has none there."""
    monkeypatch.setattr(ablation, "HEADS", HEADS)
    unit = replace(made, task=TASKS["au"])
    for head, of in (("mlp", ["embedding?"]), ("lightgbm", ["logits?", "va?"])):
        without, variants = ablation.spec(unit, head, {}).settings, ablation.variants(unit, head)
        assert without.temporal == []
        settings = ablation.spec(unit, head, variants["temporal columns"]).settings
        assert [table.of for table in settings.temporal] == of
        assert "direct targets" not in variants


def test_smoothing_and_thresholds_come_from_validation(made: ablation.Data, monkeypatch: pytest.MonkeyPatch):
    """The k of validation smooths test: a test split without noise would not have asked for it."""
    one = ablation.spec(made, "lightgbm", {})
    assert one.settings.temporal == [] and one.settings.networks == "all"
    seen: list[str] = []
    pool = ablation._pool

    def noting(of: ablation.Data, model: object, part: str) -> object:
        seen.append(part)
        return pool(of, model, part)

    monkeypatch.setattr(ablation, "_pool", noting)
    assert len(ablation.scores(made, one, 0, with_trainval=True)) == 2
    assert seen == ["val", "test", "test"]


def test_the_command_writes_json_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    rows = ablation.table({"mlp": {"": [Score(0.5, 0.4)], "temporal columns": [Score(0.75, 0.5)]}})
    monkeypatch.setattr(ablation, "main", lambda *_: rows)
    ablation.command("va", seeds=1, work=tmp_path, out=tmp_path / "va.json")
    written = json.loads((tmp_path / "va.json").read_text())
    assert (written["task"], written["metric"], written["rows"]) == ("va", "mean CCC", rows)
    assert "| mlp | 0.500 ± 0.000 | | | |" in capsys.readouterr().out
    ablation.command("va", seeds=1, work=tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == written
