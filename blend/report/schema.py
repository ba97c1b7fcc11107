"""What report.json holds, as types: whoever writes or reads a key is checked against them, and so is a file on disk.

A report stays a dictionary, as JSON has it. What only one chart looks at is typed no further.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar, cast

from pydantic import Field
from typing_extensions import TypedDict

from extract import config as configs
from extract.runtime import limits, run_folder

Number = Annotated[float, Field(allow_inf_nan=False)]
Score = Number | None
"""None: not defined."""
Scores = dict[str, Score]
Interval = Annotated[list[Number], Field(min_length=2, max_length=2)] | None
"""95 %; None: not defined."""
Smoothing = int | list[int]
"""k: one, or one for each output."""
Weights = dict[str, Number | list[Number]]
Counts = list[list[Annotated[float, Field(ge=-1e15, le=1e15)]]]
Frames = Annotated[int, Field(ge=0, le=limits.FRAMES)]

Way = TypedDict("Way", {
    "tuned": Score, "cross_fitted": Score, "optimism": Score, "interval": Interval, "kernel": str, "k": Smoothing,
})  # fmt: skip
"""A blend: its scores tuned on all videos and cross-fitted, and the optimism between them."""


class Baseline(Way):
    """A head alone, or equal weights; its `score` is unsmoothed and, for au, cut at 0.5: without a search."""

    score: Score


FrameCounts = TypedDict("FrameCounts", {
    "labelled": int, "with_features": int, "filled": int, "videos": int, "people": int, "people_known": bool,
    "videos_without_face": list[str], "filled_by_head": dict[str, int],
})  # fmt: skip
"""Of the validly annotated frames: how many, with a prediction of every head, filled, and of how many people; and
videos without any face. Where people are not known (`people_known`), recordings stand for them.
"""
PersonName = TypedDict("PersonName", {"person": str | None}, total=False)
Video = TypedDict("Video", {
    "video": str, "group": NotRequired[Frames | None], "person": NotRequired[str | None], "frames": int,
    "labelled": Frames, "filled": int, "score": Score, "influence": Score, "truth": str, "counts": Counts,
    "counts_submitted": Counts,
})  # fmt: skip
"""An annotated validation video.

`score`: of the outputs that occur in the video alone (au, expr), or the mean CCC within it (va); None where it is not
defined. `influence`: the held-out score of all videos less that of the others, over outputs that the others have; the
most negative pulls the score down most. `counts`: `calibrate.video_counts` of the held-out decisions,
`counts_submitted` of params.json's. `truth` tells whether two blends were made on the same labels. `group` (older
versions had none) is the number of the person, or else the recording, that the video is of; `person` is there where
people are known.
"""
Person = TypedDict("Person", {
    "person": str, "videos": list[str], "labelled": int, "score": Score, "influence": Score,
})  # fmt: skip
"""All videos of a person together."""
Submission = TypedDict("Submission", {
    "path": str, "from": str, "lines": int, "frames": int, "filled": int, "videos": int, "test_from": str,
    "videos_without_face": list[str], "filled_by_head": dict[str, int], "learnt_from_train_and_val": list[str],
})  # fmt: skip
"""submission.txt. It is `from` "test", or "validation" where the corpus has no test list."""
OwnNumbers = TypedDict("OwnNumbers", {
    "bias": list[Number], "filter": dict[str, Any], "scale": list[Number], "shift": list[Number],
}, total=False)  # fmt: skip
"""Of `ValidationScores` what some kinds of labels have."""
OwnPicture = TypedDict("OwnPicture", {
    "threshold_curves": dict[str, Any], "confusion": list[list[int]], "density": dict[str, list[list[int]]],
}, total=False)  # fmt: skip
"""Of `Details` what one kind of labels has."""
ValidationScores = TypedDict("ValidationScores", {
    "task": str, "metric": str, "select": str, "heads": Scores, "equal": Score, "submitted": Score, "searched": Score,
    "expected": Score, "cross_fitted": dict[str, Any] | None, "interval": Interval, "published_drop": list[float],
    "interval_of": str | None, "optimism": Score, "ways": dict[str, Way], "baselines": dict[str, Baseline],
    "choice": dict[str, Any] | None, "k": Smoothing, "kernel": str, "weights": Weights, "per_output": Scores,
    "bias": NotRequired[list[Number]], "filter": NotRequired[dict[str, Any]], "scale": NotRequired[list[Number]],
    "shift": NotRequired[list[Number]],
    "thresholds": list[Number] | None, "tuned": dict[str, dict[str, Any]], "score_against_k": dict[str, list[Any]],
    "copies": dict[str, str], "frames": FrameCounts, "trials": int, "seed": int,
})  # fmt: skip
"""`submitted` is the score of params.json on the videos it was made from, `expected` that of the same procedure on
held-out videos, which is what to expect on others (None: nothing could be held out); `cross_fitted`, `interval` and
`optimism` say more of it. `searched` is the score that the search (the way "tuned") reached on its videos. `ways` has
the same for both ways, `baselines` for every head alone and for equal weights, with their k and thresholds tuned;
`heads` and `equal` are their plain scores. `tuned` is what the search starts from.
"""
Details = TypedDict("Details", {
    "corpus": str, "held_out": bool, "per_output_held_out": Scores | None, "decisions": dict[str, Scores],
    "videos": list[Video],
    "people": list[Person] | None, "heads_against_k": dict[str, Any], "reliability": dict[str, dict[str, Any]],
    "search": dict[str, Any], "data": dict[str, Any], "threshold_curves": NotRequired[dict[str, Any]],
    "confusion": NotRequired[list[list[int]]], "density": NotRequired[dict[str, list[list[int]]]],
})  # fmt: skip
"""`held_out`: decisions, videos, confusion, reliability and density are of videos that the blend was made without.

`decisions` has for every output its precision, recall, `occurrence` (the part of the annotated frames that show it) and
`decided` (the part where it is decided); of values their correlation, means and spreads.
"""
HeadSeconds = TypedDict("HeadSeconds", {"learn": float, "predict": float})
"""Seconds that a head of ours took to learn (with validation and folds) and to predict test, when it did."""
Making = TypedDict("Making", {
    "date": str, "version": str, "command": str, "heads": dict[str, HeadSeconds], "config": dict[str, Any],
})  # fmt: skip
"""How a report was made: when (ISO 8601), by which version and command (empty: none that is known), and the whole
config, defaults too.
"""


class Report(ValidationScores, Details):
    """A task's report.json."""

    prior_from: str
    heads_tuned_here: bool
    alike: dict[str, Any] | None
    submission: Submission
    unlabelled_test: dict[str, Any] | None
    submissions: dict[str, Any] | None
    test: dict[str, Any] | None
    seconds: float
    seconds_of: dict[str, float]
    made: Making | None


Part = TypedDict("Part", {
    "metric": str, "select": str, "best_head": dict[str, Any], "equal": Score, "submitted": Score, "searched": Score,
    "expected": Score, "cross_fitted": Score, "optimism": Score, "interval": Interval, "ways": dict[str, Way],
    "per_output": Scores, "frames": FrameCounts, "test": dict[str, Any] | None,
    "unlabelled_test": dict[str, Any] | None, "report": str,
})  # fmt: skip
"""What the whole tells of one part; all else is in the part's own report."""
MultitaskReport = TypedDict("MultitaskReport", {
    "task": str, "metric": str, "best_heads": Score, "equal": Score, "submitted": Score, "searched": Score,
    "expected": Score, "cross_fitted": Score, "interval": Interval, "interval_of": str, "test": Score,
    "parts": dict[str, Part], "submission": dict[str, Any], "seed": int, "submissions": list[dict[str, Any]],
    "seconds": float,
})  # fmt: skip
"""The multi-task challenge's report.json: sums over its parts."""
R = TypeVar("R")


def read(kind: type[R], file: Path) -> R:
    """A finished report. Raises InputError, with the first key that is wrong, for a file that is none."""
    table = run_folder.read_json(file, "python -m blend.run makes it anew")
    configs.check(kind, table, file, strict=True)
    return cast(R, table)  # not the checked copy: keys keep their order
