"""One behaviour suite that every family passes for every task. A new family costs one line in SETTINGS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heads.base import FAMILIES, Head, family
from heads.table import Block, Labelled, Rows
from heads.tasks import TASKS, Task

SETTINGS = {
    "mlp": {"inputs": ["logits"], "hidden": 4, "epochs": 3, "dropout": 0.3, "input_dropout": 0.2},
    "lightgbm": {"inputs": ["logits"], "trees": 8, "trees_without_dev": 4, "min_data_in_leaf": 3},
    "lama": {"inputs": ["logits"], "trees": 4, "cv": 2, "penalties": [0.1]},
}
CASES = [(name, task) for name in SETTINGS for task in TASKS]
pytestmark = pytest.mark.parametrize(("name", "task"), CASES, ids=["-".join(case) for case in CASES])


def make(name: str, task: str) -> Head:
    kind = family(name)
    return kind(TASKS[task], kind.Settings.model_validate({"family": name, **SETTINGS[name]}))


def rows(videos: int, frames: int = 12, seed: int = 0) -> Rows:
    """Rows of a network with five float32 columns, of which the last is constant, and two float16 ones."""
    rng = np.random.default_rng(seed)
    n = videos * frames
    logits = rng.normal(size=(n, 5)).astype(np.float32)
    logits[:, 4] = 3.25
    blocks = (Block("net", "logits", logits), Block("net", "embedding", rng.normal(size=(n, 2)).astype(np.float16)))
    return Rows(
        tuple(f"v{i}" for i in range(videos)),
        np.repeat(np.arange(videos, dtype=np.int32), frames),
        np.tile(np.arange(1, frames + 1, dtype=np.int32), videos),
        blocks,
        np.arange(n),
    )


def truth(task: Task, of: Rows, seed: int = 1) -> np.ndarray:
    """Labels that hang on the first columns; every class and both sides of every unit occur."""
    x = of.batch() + 0.3 * np.random.default_rng(seed).normal(size=(len(of), of.width))
    if task.name == "au":
        return (x[:, np.arange(12) % 4] > np.linspace(-0.8, 0.8, 12)).astype(np.uint8)
    if task.name == "expr":
        ranks = x[:, 0].argsort().argsort()
        return (ranks * 8 // len(ranks)).astype(np.int8)
    return np.tanh(x[:, :2]).astype(np.float32)


def slices(task: str, train_videos: int = 5, dev_videos: int = 2) -> tuple[Labelled, Labelled]:
    whole = rows(train_videos + dev_videos)
    labels = Labelled(whole, truth(TASKS[task], whole))
    return labels.take(whole.video < train_videos), labels.take(whole.video >= train_videos)


def check_scores(task: str, scores: np.ndarray, n: int) -> None:
    assert scores.shape == (n, len(TASKS[task].outputs)) and scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores.min() >= (-1 if task == "va" else 0) and scores.max() <= 1
    if task == "expr":
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_it_is_registered(name: str, task: str) -> None:
    assert set(SETTINGS) == set(FAMILIES)
    assert make(name, task).settings.family == name


def test_scores_are_right_in_shape_and_range_and_same_seed_gives_the_same_bits_also_when_saved(
    name: str, task: str, tmp_path: Path
) -> None:
    train, dev = slices(task)
    unseen = rows(3, seed=7)
    heads = [make(name, task) for _ in range(2)]
    seen: list[float] = []
    for head in heads:
        head.fit(train, dev, seed=5, on_progress=lambda done, note: seen.append(done))
        if not head.learns_dev:
            head.refit(train, seed=5)
    first, second = (head.predict(unseen) for head in heads)
    check_scores(task, first, len(unseen))
    np.testing.assert_array_equal(first, second)
    assert seen and min(seen) >= 0 and max(seen) <= 1
    assert heads[0].predict(unseen.take(np.empty(0, np.int64))).shape == (0, first.shape[1])

    heads[0].save(tmp_path)
    loaded = make(name, task)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(unseen), first)


def test_labels_that_lack_a_class_in_train_and_dev(name: str, task: str) -> None:
    train, dev = slices(task)
    if task == "va":
        train.truth[:, 1] = 0.5  # a dimension that never changes
        dev.truth[:, 1] = 0.5
    elif task == "expr":
        train, dev = train.take(train.truth != 3), dev.take(dev.truth != 6)
    else:
        train.truth[:, 2], dev.truth[:, 5], train.truth[:, 7] = 0, 0, 1
    head = make(name, task)
    facts = head.fit(train, dev, seed=0)
    scores = head.predict(dev.rows)
    check_scores(task, scores, len(dev))
    if task == "expr" and name != "lama":  # lama learns dev, which has class 3
        assert (scores.argmax(1) != 3).all()
    if task == "au" and name == "lightgbm":
        assert facts["constant_outputs"] == ["AU4", "AU15"]
        assert (scores[:, 2] == 0).all() and (scores[:, 7] == 1).all()


def test_one_video_in_train_and_none_in_dev(name: str, task: str) -> None:
    train, dev = slices(task, train_videos=1, dev_videos=1)
    head = make(name, task)
    head.fit(train, dev.take(np.empty(0, np.int64)), seed=0)
    check_scores(task, head.predict(dev.rows), len(dev))


def test_it_learns_something(name: str, task: str) -> None:
    whole = rows(10, frames=30, seed=3)
    labels = Labelled(whole, truth(TASKS[task], whole))
    kind = family(name)
    more = {
        "mlp": {"epochs": 150, "learning_rate": 0.02, "dropout": 0.0, "input_dropout": 0.0, "hidden": 8},
        "lightgbm": {"trees": 60},
        "lama": {"trees": 20},
    }[name]
    head = kind(TASKS[task], kind.Settings.model_validate({"family": name, **SETTINGS[name], **more}))
    head.fit(labels.take(whole.video < 6), labels.take((whole.video >= 6) & (whole.video < 8)), seed=0)
    held = labels.take(whole.video >= 8)
    scores = head.predict(held.rows)
    decided = scores >= 0.5 if task == "au" else scores.argmax(1) if task == "expr" else scores
    assert TASKS[task].score(held.truth, decided) > {"au": 0.7, "expr": 0.3, "va": 0.6}[task]
