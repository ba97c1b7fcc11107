"""What relative inputs are worth: held-out scores of the same heads with and without, by folds of people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from extract.demo import corpus as demo_corpus
from extract.demo import plan
from extract.features import store
from extract.features.store import VideoFeatures
from heads.abaw import annotations as annotation_files
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS, Task
from heads.base.head import family
from heads.data import splits, table
from heads.data.table import Source
from heads.train import fit

NEWS = Path(__file__).parents[3] / "shared" / "data" / "news_clips" / "features.csv"
WINDOWS = {"temporal": [{"of": "table"}]}
HEADS = {"linear": {"penalties": [0.1]}, "lightgbm": {"trees": 60, "refit": False}}
SEEDS = 2
pytestmark = pytest.mark.slow


def keep(work: Path, video: str, frames: np.ndarray, columns: np.ndarray) -> None:
    """Store columns as those of an imported table called `units`."""
    names = {"embedding": [f"c{i}" for i in range(columns.shape[1])]}
    about = {"mark": "m", "table": "made", "columns": json.dumps(names)}
    features = VideoFeatures(frames.astype(np.int32), columns.astype(np.float16))
    store.write(store.path(work, "units", video), features, about)


def made_table(work: Path, task: Task, seed: int) -> dict[str, Annotation]:
    """17 columns like OpenFace's intensities, of the labels of the demo's videos: each unit over some frames, and five
    mixtures, with noise, and for each identity an offset of its own that is as large as what moves.
    """
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(12, 5)) / 2
    found = {}
    for row in plan.DEMO_VIDEOS:
        found[row.name] = read_text(work, demo_corpus.annotation_text(seed, row.name, task.name), task)
        units = read_text(work, demo_corpus.annotation_text(seed, row.name, "au"), TASKS["au"]).values.astype(float)
        smooth = np.stack([np.convolve(units[:, i], np.ones(7) / 7, "same") for i in range(12)], 1)
        columns = np.concatenate([smooth, smooth @ mixing], 1)
        columns = 2 * columns + rng.normal(scale=0.7, size=columns.shape) + rng.normal(scale=1.0, size=17)
        keep(work, row.name, np.arange(1, len(columns) + 1), columns)
    return found


def read_text(work: Path, text: str, task: Task) -> Annotation:
    path = work / "annotation.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return annotation_files.read(path, task)


def held_out(
    work: Path, annotations: dict[str, Annotation], task: Task, name: str, relative: str, seed: int, **keys: object
) -> Iterator[float]:
    """The score of each fold of recordings, of a head that has learnt from the others."""
    settings = family(name).Settings.model_validate(
        {"family": name, "inputs": ["table"], "relative": relative, **WINDOWS, **HEADS[name], **keys}
    )
    sources = (Source("units", ("table",)),)
    for fold in splits.fold_numbers(annotations, task, 5, seed):
        others = {video: one for video, one in annotations.items() if video not in fold}
        prepared = fit.prepare_train(work, sources, settings, others, task, seed)
        model, _, _ = fit.fit(prepared, prepared.part, seed)
        rows = table.label_rows(model.rows(work, fold), annotations, task)
        yield task.score(rows.truth, task.decide(model.predict(rows.rows)))


def gain(with_: list[float], without: list[float]) -> tuple[float, float]:
    """The mean difference and its standard error over folds."""
    off = np.array(with_) - np.array(without)
    return float(off.mean()), float(off.std(ddof=1) / len(off) ** 0.5)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("task", ["expr", "au"])
def test_on_intensities_with_offsets_of_identities_relative_inputs_pay(tmp_path: Path, name: str, task: str) -> None:
    with_, without = [], []
    for seed in range(SEEDS):
        annotations = made_table(tmp_path / str(seed), TASKS[task], seed)
        for scores, relative in ((with_, "recording"), (without, "none")):
            scores += held_out(tmp_path / str(seed), annotations, TASKS[task], name, relative, seed)
    mean, error = gain(with_, without)
    print(f"{task} {name}: {np.mean(without):.3f} -> {np.mean(with_):.3f}, gain {mean:.3f} +- {error:.3f}")
    assert mean > 2 * error


@pytest.mark.skipif(not NEWS.exists(), reason="the reference clips are not here")
@pytest.mark.parametrize(("target", "pays"), [("how it moves", True), ("as it is", False)])
def test_on_real_clips_they_pay_for_what_moves_and_cost_where_the_level_counts(
    tmp_path: Path, target: str, pays: bool
) -> None:
    """py-feat's valence and arousal of 20 clips from its units: machine-made labels, of which the level is read off the
    face as it is, so that the head that is told the level does better at it.
    """
    read = pd.read_csv(NEWS, dtype={"video": str})
    units = [name for name in read.columns if name.startswith("AU")]
    annotations = {}
    for video, rows in read.groupby("video"):
        values = np.full((rows.frame.max() + 1, 2), -5.0, np.float32)
        values[rows.frame] = rows[["valence", "arousal"]].clip(-1, 1)
        valid = values[:, 0] > -2
        keep(tmp_path, video, rows.frame.to_numpy() + 1, rows[units].to_numpy())
        if pays:
            values -= values[valid].mean(0)
        kept = np.where(valid[:, None], np.clip(values, -1, 1), 0).astype(np.float32)
        annotations[video] = Annotation(video, kept, valid)
    with_, without = [], []
    for seed in range(SEEDS):
        for scores, relative in ((with_, "recording"), (without, "none")):
            scores += held_out(tmp_path, annotations, TASKS["va"], "linear", relative, seed)
    mean, error = gain(with_, without)
    print(f"news va, {target}: {np.mean(without):.3f} -> {np.mean(with_):.3f}, gain {mean:.3f} +- {error:.3f}")
    assert (mean > 2 * error) == pays
