"""One behaviour suite that every family passes for every task. A new family costs one line in SETTINGS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sweeps import sweep

from extract.features import store
from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.tasks import TASKS, Task
from heads.base.head import FAMILIES, Head, family
from heads.data import table
from heads.data.table import Block, LabelledRows, Rows, Source
from heads.data.temporal import TemporalColumns
from heads.train import fit
from heads.train.model import Model

SMALL = {
    "inputs": ["logits", "embedding"],
    "learning_rate": 0.03,
    "width": 8,
    "feedforward": 8,
    "clip": 10,
    "min_steps": 20,
    "dropout": 0.1,
}
"""Encoders: of either kind."""
SETTINGS = {
    "mlp": {"inputs": ["logits"], "hidden": 4, "epochs": 3, "dropout": 0.3, "input_dropout": 0.2},
    "mlp/robust": {"inputs": ["logits"], "hidden": 4, "epochs": 3, "scaling": "robust", "schedule": "coslog4"},
    "lightgbm": {"inputs": ["logits"], "trees": 8, "trees_without_dev": 4, "min_data_in_leaf": 3},
    "linear": {"inputs": ["logits"], "penalties": [0.1, 0.01], "choose_folds": 2},
    "tabm": {"inputs": ["logits"], "members": 3, "hidden": 4, "epochs": 3, "batch": 16, "learning_rate": 0.02},
    "lama": {"inputs": ["logits"], "trees": 4, "cv": 2, "penalties": [0.1]},
    "pretrained": {"inputs": ["logits?", "va?"], "other": "mlp", "mlp": {"hidden": 4, "epochs": 3}},
    "sequence": SMALL | {"shapes": [[1, 2], [1, 1]], "noise": 0.1, "masked": 0.1, "dropped": 0.1},
    "sequence/tcn": SMALL | {"kind": "tcn", "shapes": [[2, 1]], "noise": 0.1, "dropped": 0.1},
    "sequence/bigru": SMALL | {"kind": "bigru", "shapes": [[1, 1]], "noise": 0.1, "dropped": 0.1},
    "fusion": SMALL | {"shapes": [[1, 2]], "members": 2},
}
"""By family, or `<family>/<what is special>`."""
NAMED = ("pretrained", "au")
"""Needs logits that are called as the units are: see test_pretrained."""
CASES = [(name, task) for name in SETTINGS for task in TASKS if (name, task) != NAMED]
SLOW = ("mlp", "tabm", "lama", "pretrained", "sequence", "fusion")
ALONE = {"mlp": "va", "tabm": "va", "pretrained": "expr"}
QUICK = [case for case in CASES if (kind := case[0].partition("/")[0]) not in SLOW or case[1] == ALONE.get(kind, "au")]
"""Libraries and encoders that take seconds each learn one task; all of them under -m slow."""
pytestmark = pytest.mark.parametrize(("name", "task"), sweep(CASES, QUICK), ids=["-".join(case) for case in CASES])


def family_of(name: str) -> str:
    return name.partition("/")[0]


def make(name: str, task: str, **more: Any) -> Head:
    kind, own = family(family_of(name)), SETTINGS[name] | more
    return kind(TASKS[task], kind.Settings.model_validate({"family": family_of(name), **own}))


def rows(videos: int, frames: int = 12, seed: int = 0) -> Rows:
    """Rows of a network with five float32 columns, of which the last is constant, two float16 ones, and two of va."""
    rng = np.random.default_rng(seed)
    n = videos * frames
    logits = rng.normal(size=(n, 5)).astype(np.float32)
    logits[:, 4] = 3.25
    blocks = (
        Block(
            "net", "logits", logits, tuple(f"logits.{name}" for name in ("happy", "sad", "fear", "anger", "neutral"))
        ),
        Block("net", "embedding", rng.normal(size=(n, 2)).astype(np.float16)),
        Block("net", "va", np.tanh(rng.normal(size=(n, 2))).astype(np.float32)),
    )
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


def slices(task: str, train_videos: int = 5, dev_videos: int = 2) -> tuple[LabelledRows, LabelledRows]:
    whole = rows(train_videos + dev_videos)
    labels = LabelledRows(whole, truth(TASKS[task], whole))
    return labels.take(whole.video < train_videos), labels.take(whole.video >= train_videos)


def check_scores(task: str, scores: np.ndarray, n: int) -> None:
    assert scores.shape == (n, len(TASKS[task].outputs)) and scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores.min() >= (-1 if task == "va" else 0) and scores.max() <= 1
    if task == "expr":
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_it_is_registered(name: str, task: str) -> None:
    assert set(map(family_of, SETTINGS)) == set(FAMILIES)
    assert make(name, task).settings.family == family_of(name)


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
    if task == "expr" and name not in (
        "lama",
        "linear",
        "pretrained",
    ):  # these learn dev, which has class 3; logits have it
        assert (scores.argmax(1) != 3).all()
    if task == "au" and name == "lightgbm":
        assert facts["constant_outputs"] == ["AU4", "AU15"]
        assert (scores[:, 2] == 0).all() and (scores[:, 7] == 1).all()


def test_one_video_in_train_and_none_in_dev(name: str, task: str) -> None:
    train, dev = slices(task, train_videos=1, dev_videos=1)
    head = make(name, task)
    head.fit(train, dev.take(np.empty(0, np.int64)), seed=0)
    check_scores(task, head.predict(dev.rows), len(dev))


def test_constant_columns_say_nothing_and_break_nothing_when_they_change_later(name: str, task: str) -> None:
    train, dev = slices(task)
    for block in train.rows.blocks:
        block.values[:, -1] = 3.25
    head = make(name, task)
    head.fit(train, dev, seed=0)
    later = rows(2, seed=7)
    check_scores(task, head.predict(later), len(later))
    later.blocks[0].values[:, -1] = 60
    check_scores(task, head.predict(later), len(later))


def test_a_feature_that_is_not_finite_is_refused_by_name(name: str, task: str, corpus: Any) -> None:
    path = store.path(corpus.work, "two", "t3")
    features = store.read(path)
    features.logits[7, 1] = np.nan
    store.write(path, features, {"mark": "two"})
    annotations = read.read_folder(corpus.folder / task / "train", TASKS[task])
    with pytest.raises(InputError, match=r"network 'two', video 't3', frame 9: logits is not finite \(1 such frames\)"):
        sources = [Source("two", ("logits",))]
        fit.prepare_train(corpus.work, sources, make(name, task).settings, annotations, TASKS[task])


def test_features_of_networks_that_it_did_not_learn_from_are_refused_also_when_loaded(
    name: str, task: str, tmp_path: Path
) -> None:
    train, dev = slices(task)
    model = Model(make(name, task), (Source("net", ("logits",)),), TemporalColumns(), tuple(train.rows.columns))
    model.head.fit(train, dev, seed=0)
    unseen = rows(2, seed=7)
    expected = model.predict(unseen)
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(unseen), expected)
    wider = replace(unseen, blocks=(*unseen.blocks, replace(unseen.blocks[0], network="other")))
    foreign = replace(unseen, blocks=tuple(replace(block, network="other") for block in unseen.blocks))
    for some, said in (
        (wider, r"9 columns, these rows have 14: 5 are not among them \(first: other\.logits\.happy\)"),
        (foreign, r"9 are missing \(first: net\.logits\.happy\); 9 are not among them .* the features of net$"),
        (replace(unseen, blocks=unseen.blocks[::-1]), "another order"),
    ):
        with pytest.raises(InputError, match=said):
            loaded.predict(some)


def test_predicting_asks_for_few_rows_at_a_time(name: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, dev = slices(task)
    head = make(name, task)
    head.fit(train, dev, seed=0)
    many = rows(2, frames=table.CHUNK + 100, seed=7)
    sizes: list[int] = []
    batch = Rows.batch

    def noting(self: Rows, index: Any = slice(None)) -> np.ndarray:
        found = batch(self, index)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(Rows, "batch", noting)
    check_scores(task, head.predict(many), len(many))
    assert sum(sizes) >= len(many) and max(sizes) <= table.CHUNK, "never a float32 copy of everything"


def test_it_learns_something(name: str, task: str) -> None:
    if name == "pretrained":
        pytest.skip("it does not learn, but predicts what the network says")
    whole = rows(10, frames=30, seed=3)
    labels = LabelledRows(whole, truth(TASKS[task], whole))
    more = {
        "mlp": {"epochs": 150, "learning_rate": 0.02, "dropout": 0.0, "input_dropout": 0.0, "hidden": 8},
        "lightgbm": {"trees": 60},
        "linear": {},
        "tabm": {"epochs": 80, "hidden": 8},
        "lama": {"trees": 20},
        "sequence": {"epochs": 60, "learning_rate": 0.01, "dropout": 0.0, "width": 16, "shapes": [[1, 2]]},
        "fusion": {"epochs": 60, "learning_rate": 0.01, "dropout": 0.0, "width": 16, "members": 1},
    }[family_of(name)]
    head = make(name, task, **{key: value for key, value in more.items() if "/" not in name or key != "shapes"})
    head.fit(labels.take(whole.video < 6), labels.take((whole.video >= 6) & (whole.video < 8)), seed=0)
    held = labels.take(whole.video >= 8)
    scores = head.predict(held.rows)
    decided = scores >= 0.5 if task == "au" else scores.argmax(1) if task == "expr" else scores
    assert TASKS[task].score(held.truth, decided) > {"au": 0.7, "expr": 0.3, "va": 0.6}[task]
