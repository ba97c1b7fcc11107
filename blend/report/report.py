"""report.json: every number that the blend stands on, without NaN, in an order that does not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from blend.calibrate.video_counts import encode_number
from blend.config import BlendSettings
from blend.crossfit import outcome as outcomes
from blend.crossfit.estimate import CrossFit
from blend.crossfit.outcome import BlendResult
from blend.crossfit.selection import SelectedBlend
from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.report import curves, published_scores
from blend.report import facts as report_facts
from blend.report import videos as video_scores
from blend.report.schema import Details, FrameCounts, Making, OwnNumbers, Report, Submission, ValidationScores, Way
from blend.submission import write
from heads.abaw.test_list import TestList

CURVE = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 35, 50, 75, 100, 150, 200)


def build(
    pool: Pool, outcome: BlendResult, settings: BlendSettings, seed: int, submission: Submission, *,
    corpus: str = "", train: Path | None = None, prior_from: str = "train", heads_tuned_here: bool = False,
    alike: dict[str, Any] | None = None, unlabelled_test: dict[str, Any] | None = None,
    submissions: dict[str, Any] | None = None, test: dict[str, Any] | None = None, made: Making | None = None,
    importance: Callable[[], dict[str, float] | None] | None = None,
) -> Report:  # fmt: skip
    """All of report.json but what it took. Scores that are not defined are None. `train`: the folder of training
    annotations. `importance` waits for `facts.compute_importance`, where that is under way already.
    """
    scores = build_scores(pool, outcome, settings, seed)
    importance = importance or partial(report_facts.compute_importance, pool.heads, outcome.search, seed)
    return {
        **scores, **build_details(pool, outcome, scores["score_against_k"]["k"], importance, corpus, train),
        "prior_from": prior_from, "heads_tuned_here": heads_tuned_here, "alike": alike, "submission": submission,
        "unlabelled_test": unlabelled_test, "submissions": submissions, "test": test, "seconds": 0.0, "seconds_of": {},
        "made": made,
    }  # fmt: skip


def build_scores(pool: Pool, outcome: BlendResult, settings: BlendSettings, seed: int) -> ValidationScores:
    """What validation alone can tell."""
    task, chosen, result = pool.task, outcome.selected_blend, outcome.search
    params, crossed = chosen.params, chosen.cross_fit
    parts = map(
        encode_number, task.per_output(pool.known_truth.values, combine.combine(pool, params)[pool.known_truth.rows])
    )
    plain = {head: _plain(pool, [head]) for head in pool.heads}
    plain[outcomes.EQUAL_WAY] = _plain(pool, [head for head in pool.heads if head not in dict(result.copies)])
    ways = {name: _way(way) for name, way in outcome.ways.items()}
    what, groups = "recordings" if pool.people is None else "people", outcome.test_groups or "as many"
    table = params.as_json()
    own = cast(OwnNumbers, {key: table[key] for key in ("bias", "filter", "scale", "shift") if key in table})
    return {
        "task": task.name, "metric": task.metric, "select": outcome.select,
        "heads": {head: plain[head] for head in pool.heads}, "equal": plain[outcomes.EQUAL_WAY],
        "submitted": chosen.score, "searched": outcome.ways[outcomes.TUNED_WAY].score,
        "expected": crossed.pooled_score if crossed is not None else None, "cross_fitted": _folds(pool, crossed),
        "interval": ways[outcome.select]["interval"], "published_drop": list(published_scores.DROPS.get(task.name, ())),
        "interval_of": f"a test set of {groups} {what} like these" if crossed is not None else None,
        "optimism": ways[outcome.select]["optimism"], "ways": ways,
        "baselines": {name: {"score": plain[name], **_way(way)} for name, way in outcome.baselines.items()},
        "choice": None if chosen.candidate is None else asdict(chosen.candidate),
        "k": table["k"], "kernel": params.kernel, "weights": table["weights"], "thresholds": table.get("thresholds"),
        **own,
        "per_output": dict(zip(task.outputs, parts, strict=True)),
        "tuned": {
            name.removeprefix("head "): {"score": trial.score, "k": trial.k}
            for name in (*(f"head {head}" for head in pool.heads), "equal", "greedy")
            if (trial := result.best_start(name)) is not None
        },
        "score_against_k": _curve(pool, params, settings.widest(task.name)), "copies": dict(result.copies),
        "frames": frames(pool), "trials": len(result.trials), "seed": seed,
    }  # fmt: skip


def _way(way: SelectedBlend) -> Way:
    """Tuned on all videos, cross-fitted, the optimism between them, an interval."""
    held = way.cross_fit.pooled_score if way.cross_fit is not None else None
    interval = way.cross_fit.interval if way.cross_fit is not None else None
    return {
        "tuned": way.score, "cross_fitted": held,
        "optimism": None if held is None or way.score is None else way.score - held,
        "interval": None if interval is None else list(interval),
        "kernel": way.params.kernel, "k": list(way.params.k) if isinstance(way.params.k, tuple) else way.params.k,
    }  # fmt: skip


def frames(pool: Pool) -> FrameCounts:
    """Of the validly annotated frames."""
    labelled, present = len(pool.known_truth.rows), int(pool.present[pool.known_truth.rows].sum())
    return {
        "labelled": labelled, "with_features": present, "filled": labelled - present, "videos": len(pool.videos),
        "people": len(np.unique(pool.groups[np.unique(pool.video_of)])), "people_known": pool.people is not None,
        "videos_without_face": list(pool.without_face), "filled_by_head": pool.count_gaps(pool.known_truth.rows),
    }  # fmt: skip


def describe_submission(
    listed: TestList, pool: Pool, source: str, test_from: str = "train", learnt_from_both: Sequence[str] = ()
) -> Submission:
    """Facts about submission.txt: `source` is "test" or "validation" (where the corpus has no test list)."""
    rows = write.rows(listed, pool)
    return {
        "path": "submission.txt", "from": source, "lines": len(listed.images) + 1, "frames": len(listed.images),
        "filled": int((~pool.present[rows]).sum()), "videos": len(listed.names),
        "videos_without_face": list(pool.without_face), "filled_by_head": pool.count_gaps(rows),
        "test_from": test_from, "learnt_from_train_and_val": list(learnt_from_both),
    }  # fmt: skip


def _plain(pool: Pool, heads: list[str]) -> float | None:
    """The score of some heads with equal weights, without smoothing and without tuned thresholds."""
    weights = tuple(float(head in heads) / len(heads) for head in pool.heads)
    params = Params(pool.task.name, pool.task.outputs, pool.heads, weights)
    return encode_number(pool.score(combine.combine(pool, params)))


def _folds(pool: Pool, crossed: CrossFit | None) -> dict[str, Any] | None:
    if crossed is None:
        return None
    known = [score for score in crossed.scores if score is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "folds": list(crossed.scores),
        "pooled": crossed.pooled_score,
        "videos": [[pool.videos[v] for v in fold] for fold in crossed.folds],
    }


def _curve(pool: Pool, params: Params, widest: int) -> dict[str, list[Any]]:
    """The score of the blend with any other k, everything else as it is. A k per output stands at none of them."""
    ks = sorted({k for k in CURVE if k <= widest} | ({params.k} if isinstance(params.k, int) else set()))
    scores = [encode_number(pool.score(combine.combine(pool, replace(params, k=k)))) for k in ks]
    return {"k": list(ks), "score": scores}


def build_details(
    pool: Pool,
    outcome: BlendResult,
    ks: list[int],
    importance: Callable[[], dict[str, float] | None],
    corpus: str = "",
    train: Path | None = None,
) -> Details:
    """Per-video scores, curves, reliability, the search's course, the data's facts.

    `ks` are those at which the blend's own curve was taken; `importance` tells `facts.compute_importance`, and is asked
    last; `train` is the folder of training annotations.
    """
    decided = video_scores.decide(pool, outcome.selected_blend)
    videos = video_scores.facts(pool, decided, outcome.selected_blend.params)
    scores = map(encode_number, pool.task.per_output(pool.known_truth.values, decided.decisions))
    return {
        "corpus": corpus,
        "held_out": decided.held_out,
        "per_output_held_out": dict(zip(pool.task.outputs, scores, strict=True)) if decided.held_out else None,
        "decisions": video_scores.describe_decisions(pool.task.name, videos),
        "videos": videos,
        "people": video_scores.people(pool, videos),
        "heads_against_k": {"k": list(ks), "score": curves.against_k(pool, outcome, ks)},
        "reliability": curves.reliability(pool, decided),
        "data": report_facts.describe_data(pool, train),
        **curves.OF_KIND[pool.task.labels](pool, outcome, decided),
        "search": report_facts.describe_search(outcome.search, importance()),
    }
