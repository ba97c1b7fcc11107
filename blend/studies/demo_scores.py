"""Scores of heads and blends on the demo, whose test truth is known, kept beside what they are of; for studies.

Cross-fitted scores are of held-out videos of five folds. Nothing is chosen by test scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend import apply, compare, run
from blend.config import Config
from blend.crossfit import estimate
from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.studies.ablation import KS, Data, choose_params
from extract import config as extract_config
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS, Task
from heads.data import predictions

FOLDS = 5

Scores = tuple[float, float]
"""Cross-fitted on validation, and on test."""


def read_config(task: str, path: Path, overrides: list[str] | None, work: Path | None) -> tuple[Config, Path]:
    """A study's config and work folder, from its options. Raises InputError for an unknown task or bad input."""
    if task not in TASKS:
        raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}")
    config = extract_config.load(Config, path, overrides)
    return config, work or Path("runs") / config.corpus.name


def choose_heads(config: Config, task: str, networks: Iterable[str], use: list[str], **settings: Any) -> Config:
    """The config with other networks and heads; `settings` by head's name take the place of the config's."""
    features = config.features.model_copy(update={"networks": list(networks)})
    heads = config.heads.model_validate({task: {"use": use, **getattr(config.heads, task).overrides, **settings}})
    return config.model_copy(update={"features": features, "heads": heads})


def share(work: Path, folder: Path, names: Iterable[str] = ("corpus", "features")) -> Path:
    """A work folder with the corpus, and the features, of another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            (folder / name).symlink_to((work / name).resolve(), target_is_directory=True)
    return folder


def score_alone(data: Data, head: Path, seed: int) -> Scores:
    """A finished head's cross-fitted and test scores, kept in its folder."""
    mark = run_folder.fingerprint([hash_predictions(head), KS, FOLDS, seed])
    if (known := find_kept_scores(head / "alone.json", mark)) is not None:
        return known
    val, test = (read_pool(data, {"head": head}, part) for part in ("val", "test"))
    decided, truth = [], []
    folds = estimate.split(val, FOLDS, seed)
    for fold in folds:
        rest = val.select(sorted(video for other in folds for video in other if other is not fold))
        held = val.select(fold)
        decided.append(_decided(held, choose_params(rest)[1]))
        truth.append(held.known_truth.values)
    crossed = data.task.score(np.concatenate(truth), np.concatenate(decided))
    final = data.task.score(test.known_truth.values, _decided(test, choose_params(val)[1]))
    return keep(head / "alone.json", mark, (float(crossed), float(final)))


def score_blend(
    data: Data, config: Config, work: Path, seed: int, trained: Mapping[str, Path], kept: Path, **given: Any
) -> Scores:
    """A blend's cross-fitted and test scores, kept in a file with the test videos' counts; the next blend takes its
    folder. `trained`: its heads' folders by name; `given`: of `blend.run`, what decides which heads these are.
    """
    task = data.task.name
    facts = {
        "heads": {name: hash_predictions(head) for name, head in trained.items()},
        "settings": getattr(config.blend, task).model_dump(mode="json"),
        "code": run_folder.code_hash("blend", ("bench", "predict", "report", "studies")),
        "seed": seed,
    }
    mark = run_folder.fingerprint(facts)
    if (known := find_kept_scores(kept, mark)) is None:
        report: Any = run.main(config, task, work, seed, **given)
        counts = count_decisions(data, trained, work / "blend" / task / "params.json")
        known = keep(kept, mark, (report["cross_fitted"]["pooled"], report["test"]["score"]), counts=counts)
    return known


def count_decisions(data: Data, heads: Mapping[str, Path], params: Path) -> list[Any]:
    """A blend's counts (blend.calibrate.video_counts) of each test video, from its params.json."""
    test = read_pool(data, heads, "test")
    results: list[Any] = estimate.count_decisions(test, combine.combine(test, apply.read(params).params)).tolist()
    return results


def compare_blends(data: Data, folders: Iterable[Path], baselines: Iterable[Path]) -> dict[str, Any]:
    """What blends gain over others of the same seeds on test (`compare.gain`), from what `score_blend` has kept."""
    tables = [
        [np.array(json.loads(kept.read_text(encoding="utf-8"))["counts"]) for kept in each]
        for each in (folders, baselines)
    ]
    labelled = [int(item.valid.sum()) for _, item in sorted(data.annotations["test"].items())]
    return compare.gain(data.task.name, tables[0], tables[1], labelled, compare.DRAWS, 0)


def list_table(task: Task, results: Mapping[str, Iterable[Scores]]) -> list[str]:
    """Lines of a table for a README: of each title the mean over the seeds, and the deviation between them."""
    lines = [f"| {task.name}, {task.metric} | cross-fitted | test |", "|---|---|---|"]
    for title, scores in results.items():
        both = [f"{np.mean(column):.3f} ± {np.std(column):.3f}" for column in zip(*scores, strict=True)]
        lines.append(f"| {title} | {' | '.join(both)} |")
    return lines


def describe(task: Task, results: Mapping[str, Iterable[Scores]]) -> dict[str, Any]:
    """The same as values, by seed."""
    scores = {name: [{"cross_fitted": a, "test": b} for a, b in values] for name, values in results.items()}
    return {"task": task.name, "metric": task.metric, "scores": scores}


def describe_gain(changes: Iterable[float], gain: Mapping[str, Any], title: str) -> str:
    """Changes of the test score by seed, and their mean with its interval over the test videos; `title`: of what."""
    text = f"{title}, test, by seed: {', '.join(f'{item:+.3f}' for item in changes)}"
    if gain["interval"]:
        low, high = gain["interval"]
        text += f"\nTheir mean {gain['difference']:+.3f}, 95 % interval over test videos {low:+.3f} to {high:+.3f}"
    return text


def read_pool(data: Data, heads: Mapping[str, Path], part: str) -> Pool:
    """Heads' frames as blend sees them, with their truth."""
    results = {name: predictions.read(head / f"{part}.parquet", data.task) for name, head in heads.items()}
    return data.make_pool(results, part)


def _decided(values: Pool, params: Params) -> NDArray[np.generic]:
    """Decisions of the annotated frames."""
    return combine.combine(values, params)[values.known_truth.rows]


def hash_predictions(head: Path) -> list[str]:
    """What a head has predicted."""
    return [run_folder.file_hash(head / f"{part}.parquet") for part in ("val", "test")]


def find_kept_scores(path: Path, mark: str) -> Scores | None:
    """Scores that were kept under this mark."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return (known["cross_fitted"], known["test"]) if known.get("mark") == mark else None


def keep(path: Path, mark: str, scores: Scores, **more: Any) -> Scores:
    run_folder.write_json(path, {"mark": mark, "cross_fitted": scores[0], "test": scores[1], **more})
    return scores
