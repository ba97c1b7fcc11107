"""What the report's pictures show, as numbers: everything that report.json has beside `blend.report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blend import report_curves, report_data, report_search, report_videos
from blend.crossfit import number_or_none
from blend.outcome import Outcome
from blend.pool import Pool


def build(
    pool: Pool, outcome: Outcome, seed: int, ks: list[int], corpus: str = "", train: Path | None = None
) -> dict[str, Any]:
    """Keys to add to report.json: per-video scores, curves, reliability, the search's course, the data's facts.

    `ks` are those at which the blend's own curve was taken; `train` is the folder of training annotations. `held_out`
    says whether videos, confusion, reliability and density are of videos that the blend was made without.
    """
    decided = report_videos.decide(pool, outcome.chosen)
    videos = report_videos.facts(pool, decided, outcome.chosen.params)
    parts = pool.task.per_output(pool.known.values, decided.decisions)
    found: dict[str, Any] = {
        "corpus": corpus,
        "held_out": decided.held_out,
        "per_output_held_out": {name: number_or_none(part) for name, part in zip(pool.task.outputs, parts, strict=True)}
        if decided.held_out
        else None,
        "videos": videos,
        "people": report_videos.people(pool, videos),
        "heads_against_k": {"k": list(ks), "score": report_curves.against_k(pool, outcome, ks)},
        "reliability": report_curves.reliability(pool, decided),
        "search": report_search.facts(pool, outcome.found, seed),
        "data": report_data.facts(pool, train),
    }
    if pool.task.name == "au":
        found["threshold_curves"] = report_curves.thresholds(pool, outcome)
    elif pool.task.name == "expr":
        found["confusion"] = report_curves.confusion(pool.known.values, decided.decisions)
    else:
        found["density"] = report_curves.density(pool, decided)
    return found
