"""The study of fine-tuned networks: its table by hand, and what a seed is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blend import run
from blend.config import Config
from blend.studies import demo_scores, finetuned
from blend.studies.ablation import Data
from extract.config import load
from extract.runtime import run_folder
from heads import run as heads_run
from heads.abaw.tasks import TASKS

AU = TASKS["au"]
CONFIG = Path(__file__).parents[3] / "configs" / "demo.toml"


def test_the_table_has_means_deviations_and_what_the_blend_gains() -> None:
    one = dict.fromkeys(finetuned.NAMES, (0.5, 0.4))
    results = [(one, 61.0), (one | {"tuned": (0.7, 0.4), "with": (0.5, 0.45)}, 59.6)]
    lines = finetuned.as_markdown(AU, results).splitlines()
    assert "| fine-tuned network alone | 0.600 ± 0.100 | 0.400 ± 0.000 |" in lines
    assert "| the same with the fine-tuned network | 0.500 ± 0.000 | 0.425 ± 0.025 |" in lines
    assert lines[-1] == "Blend with less without, test, by seed: +0.000, +0.050; fine-tuning took 61, 60 s"
    told = finetuned.describe(AU, results)
    assert told["seconds"] == [61.0, 59.6] and told["scores"]["with"][1] == {"cross_fitted": 0.5, "test": 0.45}


@pytest.fixture
def seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`finetuned._measure` by seed, and the list of what it had learnt, trained and blended, in that order."""
    (tmp_path / "features").mkdir()
    (tmp_path / "corpus").mkdir()
    done: list[Any] = []

    def learn(config: Config, task: str, network: str, name: str, work: Path, seed: int) -> Path:
        done.append(("learn", task, network, config.finetune[name].stride, seed))
        folder = work / "networks" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tuned.toml").write_text(
            "[networks.tuned]\npath = 'tuned.onnx'\nsize = 8\nmean = [0.0]\nstd = [1.0]\nlogits = 'logits'\n"
        )
        run_folder.write_text(folder / "DONE", f"{seed}")
        return folder

    def train(config: Config, task: str, work: Path, seed: int) -> dict[str, Path]:
        [entry] = config.heads.au.use or []
        [network] = config.features.networks
        done.append(("train", Path(entry).name, network))
        assert (work / "corpus").resolve() == tmp_path / "corpus"
        assert (work / "features").is_symlink() is (network != "tuned"), "features of its own"
        if network == "tuned":
            assert config.networks["tuned"].path.name == "tuned.onnx"
            assert 'inputs = ["logits"]' in Path(entry).read_text(encoding="utf-8")
        folder = work / network
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("val", "test"):
            (folder / f"{part}.parquet").write_text(network)
        return {network: folder}

    def blend(config: Config, task: str, work: Path, seed: int, predictions: dict[str, Path]) -> Any:
        assert config.features.networks == ["demo_enet", "demo_mt_enet"] and config.heads.au.use is None
        done.append(("blend", sorted(predictions)))
        return {"cross_fitted": {"pooled": 0.6}, "test": {"score": 0.5 + 0.1 * len(predictions)}}

    monkeypatch.setattr(finetuned.finetune, "main", learn)
    monkeypatch.setattr(heads_run, "main", train)
    monkeypatch.setattr(run, "main", blend)
    monkeypatch.setattr(demo_scores, "score_alone", lambda data, head, seed: (len(head.name), seed))
    config = load(Config, CONFIG, ["finetune.tuned.stride=3"])
    data = Data(tmp_path, AU, ("demo_enet", "demo_mt_enet"), {})
    return lambda seed: finetuned._measure(data, config, "demo_mt_enet", seed), done


def test_a_seed_blends_without_and_with_the_network_that_it_fine_tuned_and_keeps_what_is_known(seeds: Any) -> None:
    measure, done = seeds
    scores, seconds = measure(2)
    assert scores == {"frozen": (12, 2), "tuned": (5, 2), "without": (0.6, 0.5), "with": (0.6, 0.6)}
    assert done == [
        ("learn", "au", "demo_mt_enet", 3, 2), ("train", "tuned.toml", "tuned"), ("train", "linear", "demo_mt_enet"),
        ("blend", []), ("blend", ["tuned"]),
    ]  # fmt: skip
    done.clear()
    again = measure(2)
    assert again == (scores, seconds) and not [entry for entry in done if entry[0] == "blend"]
    assert measure(3)[0]["tuned"] == (5, 3)


@pytest.mark.slow
def test_the_study_runs_on_the_demo(tmp_path: Path) -> None:
    few = ["finetune.tuned.stride=40", "finetune.tuned.epochs=1", "heads.expr.use=['linear']"]
    [(scores, seconds)] = finetuned.main(load(Config, CONFIG, few), "expr", "demo_enet", tmp_path, 1)
    assert set(scores) == set(finetuned.NAMES) and seconds > 0
    assert (np.array(list(scores.values())) > 0.2).all(), "an eighth is chance"
