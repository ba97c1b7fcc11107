"""The table by hand, single heads against a loop, and what the two runs of a seed are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blend.config import Config
from blend.crossfit import estimate
from blend.studies import sequences as ours
from extract.config import load
from extract.runtime.errors import InputError
from heads.abaw import metrics
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import predictions
from heads.data.predictions import Predictions

VA = TASKS["va"]


def test_the_table_has_means_deviations_and_what_the_blend_gains() -> None:
    found = {name: [(0.5, 0.4), (0.7, 0.4)] for name in ours.NAMES} | {"with": [(0.8, 0.45), (0.8, 0.38)]}
    gain = {"difference": 0.015, "interval": [-0.02, 0.05], "better_in": 0.8}
    lines = ours.as_markdown(VA, found, gain).splitlines()
    assert "| best tabular head | 0.600 ± 0.100 | 0.400 ± 0.000 |" in lines
    assert "| blend of all | 0.800 ± 0.000 | 0.415 ± 0.035 |" in lines
    assert lines[-2].endswith("by seed: +0.050, -0.020")
    assert lines[-1] == "Their mean +0.015, 95 % interval over test videos -0.020 to +0.050"
    assert len({line.count("|") for line in lines[: len(ours.NAMES) + 2]}) == 1


def test_only_the_demo_has_a_known_test_truth(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[corpus]\nname = "own"\n')
    with pytest.raises(InputError, match="only the demo's test truth is known"):
        ours.main(load(Config, tmp_path / "own.toml", None), "va", tmp_path, 1)


@pytest.fixture
def data(tmp_path: Path) -> ours.Data:
    """Five videos of validation and two of test, and a head that says the truth with noise."""
    rng, truth = np.random.default_rng(0), {}
    for part, videos in (("val", 5), ("test", 2)):
        truth[part], found = {}, {}
        for v in range(videos):
            values = np.tanh(np.cumsum(0.3 * rng.normal(size=(80, 2)), 0)).astype(np.float32)
            noisy = np.clip(values + 0.4 * rng.normal(size=values.shape), -1, 1).astype(np.float32)
            truth[part][f"{part}{v}"] = Annotation(f"{part}{v}", values, rng.random(80) < 0.9)
            found[f"{part}{v}"] = (np.arange(1, 81, dtype=np.int32), noisy)
        predictions.write(tmp_path / f"{part}.parquet", Predictions(VA.outputs, found))
    return ours.Data(tmp_path, VA, (), truth | {"train": truth["val"]})


def test_a_head_alone_is_smoothed_as_other_videos_say(data: ours.Data, tmp_path: Path) -> None:
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
    folds = estimate.split(ours._pool(data, {"head": tmp_path}, "val"), 5, 3)
    held = {names[v]: best([n for i, n in enumerate(names) if i not in fold]) for fold in folds for v in fold}
    crossed, test = ours._alone(data, tmp_path, 3)
    assert crossed == pytest.approx(score("val", names, [held[name] for name in names]), abs=1e-6)
    assert test == pytest.approx(score("test", ["test0", "test1"], [best(names)] * 2), abs=1e-6)
    kept = json.loads((tmp_path / "alone.json").read_text())
    assert (kept["cross_fitted"], kept["test"]) == (crossed, test)
    (tmp_path / "alone.json").write_text(json.dumps(kept | {"test": 0.25}))
    assert ours._alone(data, tmp_path, 3)[1] == 0.25, "what is known is not computed again"
    assert ours._alone(data, tmp_path, 4)[1] == test, "other folds"


def test_thresholds_of_units_are_chosen_too(tmp_path: Path) -> None:
    au, rng, truth, found = TASKS["au"], np.random.default_rng(1), {}, {}
    for v in range(4):
        values = (rng.random((60, 12)) < 0.3).astype(np.uint8)
        truth[f"v{v}"] = Annotation(f"v{v}", values, np.ones(60, bool))
        found[f"v{v}"] = (np.arange(1, 61, dtype=np.int32), (0.1 + 0.1 * values).astype(np.float32))
    for part in ("val", "test"):
        predictions.write(tmp_path / f"{part}.parquet", Predictions(au.outputs, found))
    data = ours.Data(tmp_path, au, (), dict.fromkeys(("train", "val", "test"), truth))
    assert ours._alone(data, tmp_path, 0) == (1.0, 1.0), "all below 0.5, and yet told apart"


def test_a_seed_has_the_tabular_heads_the_encoders_and_one_that_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blend import run
    from heads import run as heads_run

    config = load(Config, Path(__file__).parents[3] / "configs" / "demo.toml", ["heads.va.mlp.epochs=3"])
    seen = ours._with(config, "va", config.features.networks, ["mlp", "lama", *ours.ENCODERS])
    heard = ours._with(config, "va", [*config.features.networks, "audio"], ["fusion"])
    assert heard.features.networks == ["demo_enet", "demo_mt_enet", "audio"] and heard.heads.va.use == ["fusion"]
    assert seen.heads.va.overrides == {"mlp": {"epochs": 3}} and config.heads.va.use is None
    (tmp_path / "features").mkdir()
    (tmp_path / "corpus").mkdir()
    blended: list[dict[str, Any]] = []

    def heads(config: Config, task: str, work: Path, seed: int) -> dict[str, Path]:
        assert (work / "features").resolve() == (tmp_path / "features").resolve() and seed == 7
        found = {name: work / name for name in config.heads.va.use or []}
        for folder in found.values():
            folder.mkdir(exist_ok=True)
            for part in ("val", "test"):
                (folder / f"{part}.parquet").write_text(folder.name)
        return found

    def blend(config: Config, task: str, work: Path, seed: int, **given: Any) -> dict[str, Any]:
        blended.append(given)
        return {"cross_fitted": {"pooled": 0.1 * len(blended)}, "test": {"score": 0.2 * len(blended)}}

    monkeypatch.setattr(heads_run, "main", heads)
    monkeypatch.setattr(run, "main", blend)
    monkeypatch.setattr(ours, "_counts", lambda data, heads, params: [[[float(len(heads))]]])
    crossed = {"mlp": 0.3, "lama": 0.6, "sequence": 0.5, "encoders": 0.55, "fusion": 0.4}
    monkeypatch.setattr(
        ours, "_alone", lambda data, where, seed: (0.9 if where.parts[-2] == "heard" else crossed[where.name], 0.0)
    )
    found = ours._of_seed(ours.Data(tmp_path, VA, (), {}), seen, heard, 7)
    expected = {"tabular": 0.6, "sequence": 0.5, "encoders": 0.55, "fusion": 0.4, "fusion_sound": 0.9}
    assert {name: scores[0] for name, scores in found.items()} == expected | {"without": 0.1, "with": 0.2}
    sound = tmp_path / "sequences" / "7" / "heard" / "fusion"
    assert blended == [{"heads": ["mlp", "lama"]}, {"predictions": {"fusion_sound": sound}}]
    assert list(found) == list(ours.NAMES)
    again = ours._of_seed(ours.Data(tmp_path, VA, (), {}), seen, heard, 7)
    assert again == found and len(blended) == 2, "what is known is not blended again"
    kept = {
        way: json.loads((tmp_path / "sequences" / "7" / f"va-{way}.json").read_text()) for way in ("with", "without")
    }
    assert (kept["without"]["counts"], kept["with"]["counts"]) == ([[[2.0]]], [[[6.0]]])


def test_the_counts_of_a_blend_say_its_test_score_and_the_gain_is_over_seeds_and_videos(
    data: ours.Data, tmp_path: Path
) -> None:
    from blend.calibrate import video_counts
    from blend.decision import combine

    blend = {"task": "va", "outputs": ["valence", "arousal"], "heads": ["a"], "weights": {"a": 1.0}, "kernel": "box"}
    some = ours._pool(data, {"a": tmp_path}, "test")
    tables, scores = {}, {}
    for way, k in (("with", 3), ("without", 0)):
        params = blend | {"k": k, "prior": {"valence": 0.0, "arousal": 0.0}}
        (tmp_path / "params.json").write_text(json.dumps(params))
        tables[way] = np.array(ours._counts(data, {"a": tmp_path}, tmp_path / "params.json"))
        scores[way] = some.score(combine.scores(some, [1.0], "box", k))
        assert video_counts.score("va", tables[way].sum(0)) == pytest.approx(scores[way], abs=1e-9)
        for seed in range(2):
            kept = {"mark": "", "cross_fitted": 0.0, "test": 0.0, "counts": tables[way].tolist()}
            (tmp_path / "sequences" / str(seed)).mkdir(parents=True, exist_ok=True)
            (tmp_path / "sequences" / str(seed) / f"va-{way}.json").write_text(json.dumps(kept))
    gain = ours._gain(data, 2)
    assert gain["difference"] == pytest.approx(scores["with"] - scores["without"], abs=1e-9) and gain["difference"] > 0
    assert gain["interval"][0] < gain["difference"] < gain["interval"][1]
