"""What the table of people is worth: a made corpus of few people with several videos each, scored on new people.

    python -m blend.studies.people                40 draws of 12 people with 8 videos each
    python -m blend.studies.people --draws 4

People differ by an offset of valence and arousal, and by their faces: from the face a head can learn the offset of
people that it has seen, and nothing of others'. Two ridge regressions, one that sees the expression alone and one that
sees the face as well, predict the corpus out of fold, with the folds that heads have (splits.fold_numbers); the blend
is selected and cross-fitted on these predictions. Then heads that have learnt from the whole corpus predict new people.
With the table all of it goes by person, without it by video: what the estimate says is compared with what new people
give. Nothing in the project was set on these draws.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.config import BlendSettings
from blend.crossfit import selection
from blend.decision import combine
from blend.pool import pool
from blend.studies.simulation import table
from extract.features import store
from extract.runtime import cli, errors
from extract.runtime.progress import progress
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import resemblance, splits
from heads.data.predictions import Predictions

VA = TASKS["va"]
DRAWS = 40
PEOPLE, VIDEOS, FRAMES = 12, 8, 30
TESTS = 4
"""Test sets of a draw, each of as many new people: the mean of their scores is what the estimate is compared with."""
FACE = 64
"""Columns that tell the face."""
OFFSET = 0.25
"""Deviation of the people's offsets; that of what a video shows is 0.3."""
NOISE = 0.35
"""Deviation of the noise on what a head sees of the expression."""
FOLDS = 5
HEADS = {"expression": (slice(0, 4), 1.0), "face": (slice(0, 4 + FACE), 1.0)}
"""Head -> the columns that it sees, and the penalty of its ridge regression."""
SETTINGS = BlendSettings(trials=20, k_max=5, draws=200)
WAYS = ("person", "video")


@dataclass(frozen=True)
class Corpus:
    """Videos of FRAMES frames: who is in each, features [frames, 4 + FACE] and truth [frames, 2] by video."""

    people: dict[str, str]
    features: dict[str, NDArray[np.float64]]
    truth: dict[str, NDArray[np.float32]]


def corpus(rng: np.random.Generator, people: int = PEOPLE, videos: int = VIDEOS, name: str = "p") -> Corpus:
    """Draw people and their videos."""
    who: dict[str, str] = {}
    features: dict[str, NDArray[np.float64]] = {}
    truth: dict[str, NDArray[np.float32]] = {}
    mixing = np.array([[1, 0], [0, 1], [1, 1], [1, -1]]) / np.sqrt([[1], [1], [2], [2]])
    for person in range(people):
        face, offset = rng.standard_normal(FACE), OFFSET * rng.standard_normal(2)
        for number in range(videos):
            video = f"{name}{person:02d}v{number}"
            steps = rng.standard_normal((FRAMES, 2)) * 0.06
            shown = 0.3 * rng.standard_normal(2) + np.cumsum(steps, 0)
            seen = shown @ mixing.T + NOISE * rng.standard_normal((FRAMES, 4))
            looks = face + 0.3 * rng.standard_normal((FRAMES, FACE)) + 0.1 * rng.standard_normal(FACE)
            who[video] = f"{name}{person:02d}"
            features[video] = np.hstack([seen, looks])
            truth[video] = np.clip(shown + offset, -1, 1).astype(np.float32)
    return Corpus(who, features, truth)


def measure(seed: int) -> dict[str, Any]:
    """One draw: `estimate`, `test` and `warned` by way, and whether anything is warned of where each of as many videos
    is of a person of its own (`false_alarm`).
    """
    rng = np.random.default_rng([seed, 14])
    made = corpus(rng)
    tests = [corpus(rng, name=f"t{number}p") for number in range(TESTS)]
    apart = corpus(rng, PEOPLE * VIDEOS, 1, name="a")
    results: dict[str, Any] = {"false_alarm": bool(find_alike(apart))}
    for way in WAYS:
        people = made.people if way == "person" else None
        own = pool_of(made, out_of_fold(made, people, seed), people)
        selected = selection.Selection(own, SETTINGS, seed).select()
        assert selected.cross_fit is not None and selected.cross_fit.pooled_score is not None
        theirs = [pool_of(new, learn_scores(made, [*made.features], new), None) for new in tests]
        reached = [there.score(combine.combine(there, selected.params)) for there in theirs]
        said = {"estimate": selected.cross_fit.pooled_score, "test": float(np.mean(reached))}
        results[way] = said | {"warned": people is None and bool(find_alike(made))}
    return results


def out_of_fold(made: Corpus, people: Mapping[str, str] | None, seed: int) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Head -> video -> its scores by a model that has not seen the fold that the video is in."""
    folds = splits.fold_numbers(annotations(made), VA, FOLDS, seed, people)
    results: dict[str, dict[str, NDArray[np.float32]]] = {head: {} for head in HEADS}
    for held in folds:
        rest = [video for video in made.features if video not in held]
        for head, scores in learn_scores(made, rest, made, held).items():
            results[head] |= scores
    return results


def learn_scores(
    made: Corpus, videos: list[str], of: Corpus, wanted: list[str] | None = None
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Head -> video -> scores of the `wanted` videos (None: all) of a corpus, learnt from some `videos` of `made`."""
    from sklearn.linear_model import Ridge

    x = np.concatenate([made.features[video] for video in videos])
    y = np.concatenate([made.truth[video] for video in videos])
    results: dict[str, dict[str, NDArray[np.float32]]] = {}
    for head, (columns, penalty) in HEADS.items():
        model = Ridge(penalty).fit(x[:, columns], y)
        results[head] = {
            video: np.clip(model.predict(of.features[video][:, columns]), -1, 1).astype(np.float32)
            for video in wanted or of.features
        }
    return results


def annotations(made: Corpus) -> dict[str, Annotation]:
    """The truth as annotations."""
    return {video: Annotation(video, truth, np.ones(len(truth), bool)) for video, truth in made.truth.items()}


def pool_of(
    made: Corpus, scores: dict[str, dict[str, NDArray[np.float32]]], people: Mapping[str, str] | None
) -> pool.Pool:
    """The pool of a corpus and its heads' scores."""
    frames = np.arange(1, FRAMES + 1, dtype=np.int32)
    results = {
        head: Predictions(VA.outputs, {video: (frames, values) for video, values in sorted(score.items())})
        for head, score in scores.items()
    }
    return pool.for_validation(VA, results, annotations(made), np.zeros(2, np.float32), people=people)


def find_alike(made: Corpus) -> tuple[resemblance.Pair, ...]:
    """The pairs of videos that look like one person's, from features on disk as `blend.run` has them."""
    with tempfile.TemporaryDirectory() as folder:
        frames = np.arange(1, FRAMES + 1, dtype=np.int32)
        for video, values in made.features.items():
            kept = store.VideoFeatures(frames, embedding=values.astype(np.float16))
            store.write(store.path(Path(folder), "made", video), kept, {})
        result = resemblance.find(Path(folder), ["made"], [*made.features], [])
    assert result is not None
    return result.pairs


def summarise(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over draws by way: estimate, test, the estimate's error with its standard error, the share warned."""
    results: dict[str, Any] = {"draws": len(draws), "false_alarms": sum(draw["false_alarm"] for draw in draws)}
    for way in WAYS:
        estimate, test = (np.array([draw[way][key] for draw in draws]) for key in ("estimate", "test"))
        error = estimate - test
        means = {"estimate": float(estimate.mean()), "test": float(test.mean()), "error": float(error.mean())}
        warned = sum(draw[way]["warned"] for draw in draws)
        results[way] = means | {"standard_error": table.standard_error(error), "warned": warned}
    return results


def main(draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Measure so many draws; see `summarise`."""
    results = []
    with progress("people", draws, "draws") as bar:
        for number in range(draws):
            results.append(measure(1000 * seed + number))
            bar.advance()
    return summarise(results)


def show(result: dict[str, Any]) -> None:
    """Print a row for each way, and what was warned of."""
    cells = []
    for way in WAYS:
        row = result[way]
        error, deviation = row["error"], row["standard_error"]
        told = f"{row['warned']} of {result['draws']}" if way == "video" else ""
        numbers = (f"{row['estimate']:.4f}", f"{row['test']:.4f}", f"{error:+.4f} ± {deviation:.4f}")
        cells.append([way, *numbers, f"{error / deviation:+.1f}", told])
    table.show(("folds by", "estimate", "test on new people", "error", "in standard errors", "warned"), cells)
    print(f"warned where every video is of another person: {result['false_alarms']} of {result['draws']}")


EXAMPLES = """Examples:

python -m blend.studies.people --draws 40                the README's table

python -m blend.studies.people --draws 4 --json          fewer corpora, as JSON"""


def command(
    draws: Annotated[int, typer.Option(help="Made corpora.", min=2)] = DRAWS,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.", min=0)] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Compare estimates by person and by video with what new people give, on made corpora."""
    with errors.exits():
        result = main(draws, seed)
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
        else:
            show(result)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
