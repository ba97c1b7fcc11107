"""Facts for the report: the data's gaps and frequencies, the search's course, videos that look like one person's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate.video_counts import encode_number
from blend.config import Config
from blend.pool.inputs import BlendInputs
from blend.pool.pool import Pool
from blend.report.pointers import ref
from blend.report.schema import HeadSeconds, Making, Report
from blend.tasks.lookup import BLEND_TASKS
from extract.networks import registry
from extract.runtime import errors, process
from heads.abaw import read
from heads.abaw.tasks import Task
from heads.base.spare import hide
from heads.data import resemblance

if TYPE_CHECKING:  # who only reads a report searches nothing
    from blend.search.search import SearchResult, Trial


def describe_data(pool: Pool, train: Path | None) -> dict[str, Any]:
    """`validation` from the pool, `train` from its folder of annotations (None: not at hand)."""
    here = _part(pool.task, pool.known_truth.values, pool.video_of, len(pool.videos), int(pool.offsets[-1]))
    results = {"validation": here | {"filled": int((~pool.present[pool.known_truth.rows]).sum())}, "train": None}
    if train is not None:
        annotations = list(read.read_folder(train, pool.task).values())
        values = np.concatenate([entry.values[entry.valid] for entry in annotations])
        video_of = np.repeat(np.arange(len(annotations)), [int(item.valid.sum()) for item in annotations])
        frames = sum(len(annotation.valid) for annotation in annotations)
        results["train"] = _part(pool.task, values, video_of, len(annotations), frames)
    return results


def _part(
    task: Task, values: NDArray[np.generic], video_of: NDArray[np.int64], videos: int, frames: int
) -> dict[str, Any]:
    """How much there is, and what of it every output has."""
    outputs = BLEND_TASKS[task.name].describe_labels(values, video_of)
    counts = {"videos": videos, "frames": frames, "labelled": len(values), "unlabelled": frames - len(values)}
    return {**counts, "outputs": outputs}


MOST_PAIRS = 20
"""Pairs in report.json."""


def describe_resemblance(config: Config, sources: BlendInputs, work: Path) -> dict[str, Any] | None:
    """`network`, `videos` (how many were compared), `count` of pairs that look like one person and the `pairs` most
    alike (heads.data.resemblance); None where nothing is compared: people are known, no head of ours looks at faces, or
    videos are sets of pictures.
    """
    seen = [name for name in config.features.networks if name in registry.NETWORKS or name in config.networks]
    if sources.people is not None or not sources.project_heads or sources.task.stills:
        return None
    val, train = (read.videos(folder, sources.task) for folder in (sources.paths.val, sources.paths.train))
    result = resemblance.find(work, seen, val, train)
    if result is None:
        return None
    pairs = [asdict(pair) for pair in result.pairs[:MOST_PAIRS]]
    return {"network": result.network, "videos": result.videos, "count": len(result.pairs), "pairs": pairs}


def warn_of_resemblance(report: Report) -> list[str]:
    """A sentence with the pair that is most alike, with places in the report; empty where there is none."""
    result = report["alike"]
    if not result or not result["count"]:
        return []
    first = result["pairs"][0]
    other = "validation video" if first["part"] == "val" else "training video"
    return [
        f"The validation video {first['video']} looks like the same person as the {other} {first['other']} (cosine "
        f"{ref('alike', 'pairs', 0, 'cosine')}, {ref('alike', 'count')} such pairs): folds by video put a person on "
        f"both sides, so scores may say too much of others. Name who is in which video with corpus.people, a table "
        f"video,person: then everything goes by person."
    ]


def describe_making(config: Config, sources: BlendInputs) -> Making:
    """When and how this report is made: version, command, config, and what heads of ours took."""
    version = "unknown"
    with suppress(metadata.PackageNotFoundError):  # run from a folder, never installed
        version = metadata.version("affect-heads")
    heads = {
        name: took for name, folder in sorted(sources.project_heads.items()) if (took := _seconds(folder)) is not None
    }
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"), "version": version,
        "command": errors.describe_command(), "heads": heads, "config": config.model_dump(mode="json"),
    }  # fmt: skip


def _seconds(head: Path) -> HeadSeconds | None:
    """What a head's own reports say; None where they say nothing."""
    try:
        learnt, whole = (
            json.loads((head / name).read_text())["seconds"] for name in ("model/learnt.json", "report.json")
        )
        return {"learn": float(learnt), "predict": round(max(float(whole) - float(learnt), 0.0), 2)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


FEWEST = 20
"""With fewer trials that differ nothing can be said of importance."""
MAX_TRIALS = 400
"""So many trials, evenly taken, are enough to say it, and quick."""
TREES = 32


def describe_search(result: SearchResult, importances: dict[str, float] | None) -> dict[str, Any]:
    """Every trial's score and what it started as, and `compute_importance` of them."""
    return {
        "score": [encode_number(trial.score) for trial in result.trials],
        "start": [trial.start for trial in result.trials],
        "importance": importances,
    }


def compute_importance(heads: Sequence[str], result: SearchResult, seed: int) -> dict[str, float] | None:
    """The importance of every head's weight, k and kernel: name -> share in [0, 1], the largest first.

    It is fANOVA's share of the score's variance over the trials (Hutter, Hoos and Leyton-Brown, ICML 2014), by Optuna,
    seeded; None where there are too few trials or all score the same. Takes a second, most of it imports.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import create_trial

    with hide(["pandas"] * process.is_ours()):  # scikit-learn imports it where it can, for tables
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    from blend.search.search import derive

    trials = [trial for trial in result.trials if np.isfinite(trial.score)]
    trials = trials[:: -(-len(trials) // MAX_TRIALS)] if trials else []
    if len(trials) < FEWEST or len({trial.score for trial in trials}) < 2:
        return None
    copies = dict(result.copies)
    own = [(h, head) for h, head in enumerate(heads) if head not in copies]
    rows = [_params(trial, own) for trial in trials]
    kernels = sorted({trial.kernel for trial in trials})
    kinds: dict[str, Any] = {f"weight of {head}": FloatDistribution(0, 1) for _, head in own}
    kinds["k"] = IntDistribution(0, max(1, *(int(np.ceil(row["k"])) for row in rows)))
    kinds["kernel"] = CategoricalDistribution(kernels)
    varied = {name: kind for name, kind in kinds.items() if len({row[name] for row in rows}) > 1}
    if not varied:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for trial, row in zip(trials, rows, strict=True):
        params = {name: row[name] for name in varied}
        study.add_trial(create_trial(params=params, distributions=varied, value=trial.score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=derive(seed, "importance"))
        shares = get_param_importances(study, evaluator=evaluator)
    ranked = sorted(shares, key=lambda name: (-shares[name], name))
    return {name: float(shares[name]) for name in ranked}


def _params(trial: Trial, heads: list[tuple[int, str]]) -> dict[str, Any]:
    """A trial's numbers; those that every output has of its own are averaged."""
    weights = {f"weight of {head}": float(np.mean(trial.weights[h])) for h, head in heads}
    total = sum(weights.values()) or 1.0
    shares = {name: min(max(value / total, 0.0), 1.0) for name, value in weights.items()}
    return {**shares, "k": round(float(np.mean(trial.k))), "kernel": trial.kernel}
