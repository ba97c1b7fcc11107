"""The study of fine-tuned networks: its table by hand, and what a seed is made of."""

from __future__ import annotations

import json
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
    results = [(one, 0, 61.0), (one | {"tuned": (0.7, 0.4), "with": (0.5, 0.45)}, 2, 59.6)]
    lines = finetuned.as_markdown(AU, results).splitlines()
    assert "| fine-tuned network alone | 0.600 ± 0.100 | 0.400 ± 0.000 |" in lines
    assert "| the same with the fine-tuned network | 0.500 ± 0.000 | 0.425 ± 0.025 |" in lines
    assert (
        lines[-1]
        == "Blend with less without, test, by seed: +0.000, +0.050; epochs kept: 0, 2; fine-tuning took 61, 60 s"
    )
    told = finetuned.describe(AU, results)
    assert (
        told["epochs"] == [0, 2]
        and told["seconds"] == [61.0, 59.6]
        and told["scores"]["with"][1] == {"cross_fitted": 0.5, "test": 0.45}
    )


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
        (folder / f"{name}.toml").write_text(
            f"[networks.{name}]\npath = '{name}.onnx'\nsize = 8\nmean = [0.0]\nstd = [1.0]\nlogits = 'logits'\n"
        )
        (folder / "provenance.json").write_text(json.dumps({"epoch": seed + 1}))
        (folder / f"{name}.onnx").write_text(f"{task} {seed} {config.finetune[name].stride}")
        run_folder.write_text(folder / "DONE", f"{task} {seed} {config.finetune[name].stride}")
        return folder

    def train(config: Config, task: str, work: Path, seed: int) -> dict[str, Path]:
        use, networks = getattr(config.heads, task).use, config.features.networks
        done.append(("train", *(Path(entry).name for entry in use or ["standard"]), *networks))
        assert (work / "corpus").resolve() == tmp_path / "corpus"
        own = networks == [f"tuned_{task}"]
        assert (work / "features").is_symlink() is not own, "features of its own"
        if own:
            assert config.networks[networks[0]].path.name == f"tuned_{task}.onnx"
            assert 'inputs = ["logits"]' in Path((use or [])[0]).read_text(encoding="utf-8")
        folder = work / "head" / "-".join(networks)
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("val", "test"):
            (folder / f"{part}.parquet").write_text(f"{networks} {use} {work}")
        return {"head": folder}

    def blend(config: Config, task: str, work: Path, seed: int, predictions: dict[str, Path]) -> Any:
        done.append(("blend", sorted(predictions)))
        return {"cross_fitted": {"pooled": 0.6}, "test": {"score": 0.5 + 0.1 * len(predictions)}}

    monkeypatch.setattr(finetuned.finetune, "main", learn)
    monkeypatch.setattr(heads_run, "main", train)
    monkeypatch.setattr(run, "main", blend)
    monkeypatch.setattr(demo_scores, "count_decisions", lambda data, heads, params: [])
    monkeypatch.setattr(demo_scores, "score_alone", lambda data, head, seed: (len(head.name), seed))
    config = load(Config, CONFIG, ["finetune.tuned.stride=3"])

    def measure(seed: int, task: str = "au", **changes: Any) -> Any:
        section = {f"tuned_{task}": config.finetune["tuned"].model_copy(update=changes.pop("recipe", {}))}
        own = config.model_copy(update={"finetune": section, **changes})
        data = Data(tmp_path, TASKS[task], ("demo_enet", "demo_mt_enet"), {})
        return finetuned._measure(data, own, "demo_mt_enet", seed)

    return measure, done


def list_blends(done: list[Any]) -> list[list[str]]:
    """What was blended since the last call."""
    found = [entry[1] for entry in done if entry[0] == "blend"]
    done.clear()
    return found


BOTH = [[], ["tuned"]]


def test_a_seed_blends_without_and_with_the_network_that_it_fine_tuned_and_keeps_what_is_known(seeds: Any) -> None:
    measure, done = seeds
    scores, epoch, seconds = measure(2)
    assert scores == {"frozen": (12, 2), "tuned": (8, 2), "without": (0.6, 0.5), "with": (0.6, 0.6)}
    assert done == [
        ("learn", "au", "demo_mt_enet", 3, 2), ("train", "tuned.toml", "tuned_au"), ("train", "linear", "demo_mt_enet"),
        ("train", "standard", "demo_enet", "demo_mt_enet"), ("blend", []), ("blend", ["tuned"]),
    ]  # fmt: skip
    done.clear()
    again = measure(2)
    assert epoch == 3 and again == (scores, epoch, seconds) and list_blends(done) == []
    measure(2, "expr")
    assert list_blends(done) == BOTH
    assert measure(2) == again and list_blends(done) == [], "tasks are kept side by side"
    assert measure(3)[0]["tuned"] == (8, 3) and list_blends(done) == BOTH


def test_other_heads_networks_and_recipes_are_blended_again(seeds: Any) -> None:
    measure, done = seeds
    measure(0)
    list_blends(done)
    demo = load(Config, CONFIG, ["heads.au.use=['linear']", "features.networks=['demo_enet']"])
    measure(0, heads=demo.heads)
    assert list_blends(done) == BOTH
    measure(0, features=demo.features)
    assert list_blends(done) == BOTH
    measure(0)
    assert list_blends(done) == BOTH
    measure(0, recipe={"stride": 4})
    assert list_blends(done) == [["tuned"]], "without it, nothing has changed"


def test_seconds_of_what_a_killed_process_began_are_not_known(seeds: Any, tmp_path: Path) -> None:
    measure, _ = seeds
    (tmp_path / "finetuned" / "demo_mt_enet-1" / "seen" / "networks" / "tuned_au").mkdir(parents=True)
    assert measure(1)[2] is None and measure(1)[2] is None
    assert finetuned.as_markdown(AU, [measure(1)]).endswith("took ? s")


@pytest.mark.slow
def test_the_study_runs_on_the_demo(tmp_path: Path) -> None:
    few = ["finetune.tuned.stride=8", "finetune.tuned.epochs=1", "finetune.tuned.sam=0", "heads.expr.use=['linear']"]
    [(scores, epoch, seconds)] = finetuned.main(load(Config, CONFIG, few), "expr", "demo_enet", tmp_path, 1)
    assert set(scores) == set(finetuned.NAMES) and epoch in (0, 1) and seconds > 0
    assert (np.array(list(scores.values())) > 0.2).all(), "an eighth is chance"
