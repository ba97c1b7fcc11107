"""The table by hand, single heads against a loop, and what the two runs of a seed are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blend.config import Config
from blend.studies import demo_scores
from blend.studies import sequences as ours
from extract.config import load
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

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


def test_a_seed_has_the_tabular_heads_the_encoders_and_one_that_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blend import run
    from heads import run as heads_run

    config = load(Config, Path(__file__).parents[3] / "configs" / "demo.toml", ["heads.va.mlp.epochs=3"])
    seen = demo_scores.choose_heads(config, "va", config.features.networks, ["mlp", "lama", *ours.ENCODERS])
    heard = demo_scores.choose_heads(config, "va", [*config.features.networks, "audio"], ["fusion"])
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
    monkeypatch.setattr(demo_scores, "count_decisions", lambda data, heads, params: [[[float(len(heads))]]])
    crossed = {"mlp": 0.3, "lama": 0.6, "sequence": 0.5, "encoders": 0.55, "fusion": 0.4}
    monkeypatch.setattr(
        demo_scores,
        "score_alone",
        lambda data, where, seed: (0.9 if where.parts[-2] == "heard" else crossed[where.name], 0.0),
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
    some = demo_scores.read_pool(data, {"a": tmp_path}, "test")
    tables, scores = {}, {}
    for way, k in (("with", 3), ("without", 0)):
        params = blend | {"k": k, "prior": {"valence": 0.0, "arousal": 0.0}}
        (tmp_path / "params.json").write_text(json.dumps(params))
        tables[way] = np.array(demo_scores.count_decisions(data, {"a": tmp_path}, tmp_path / "params.json"))
        scores[way] = some.score(combine.scores(some, [1.0], "box", k))
        assert video_counts.score("va", tables[way].sum(0)) == pytest.approx(scores[way], abs=1e-9)
        for seed in range(2):
            kept = {"mark": "", "cross_fitted": 0.0, "test": 0.0, "counts": tables[way].tolist()}
            (tmp_path / "sequences" / str(seed)).mkdir(parents=True, exist_ok=True)
            (tmp_path / "sequences" / str(seed) / f"va-{way}.json").write_text(json.dumps(kept))
    gain = ours._gain(data, 2)
    assert gain["difference"] == pytest.approx(scores["with"] - scores["without"], abs=1e-9) and gain["difference"] > 0
    assert gain["interval"][0] < gain["difference"] < gain["interval"][1]
