"""Each peer on tables whose answer is known, in this process; AutoGluon where it is installed."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from blend.studies.peers import worker
from blend.studies.peers.worker import Train

GROUPS, EACH, WIDTH = 10, 24, 6
HERE = [name for name in worker.PEERS if name in worker.find_versions()]


def make(labels: str, outputs: int) -> Train:
    """Rows of ten videos, the last two of them dev; output i goes with column i."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((GROUPS * EACH, WIDTH)).astype(np.float32)
    group = np.repeat(np.arange(GROUPS), EACH)
    y, weight = {
        "multilabel": ((x[:, :outputs] > 0).astype(np.uint8), np.ones((len(x), outputs))),
        "multiclass": (x[:, :outputs].argmax(1).astype(np.int8), np.ones(len(x))),
        "regression": (np.tanh(x[:, :outputs]), np.ones(len(x))),
    }[labels]
    return Train(labels, outputs, 0, x, y, weight, group >= GROUPS - 2, group, np.ones(WIDTH, np.float32), 10.0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in (("ROUNDS", 200), ("EPOCHS", 12), ("BATCH", 16), ("WIDTH", 16), ("MEMBERS", 4)):
        monkeypatch.setattr(worker, name, value)


@pytest.mark.parametrize("peer", [name for name in HERE if name != "autogluon"])
@pytest.mark.parametrize("labels", ["multilabel", "multiclass", "regression"])
def test_a_peer_learns_what_a_column_says_and_learns_it_again(peer, labels):
    train = make(labels, 3)
    new = np.random.default_rng(1).standard_normal((200, WIDTH)).astype(np.float32)
    scores = worker.PEERS[peer][1](train)(new)
    assert scores.shape == (200, 3) and np.isfinite(scores).all()
    if labels == "multiclass":
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
        assert (scores.argmax(1) == new[:, :3].argmax(1)).mean() > 0.7
    elif labels == "multilabel":
        assert ((scores > 0.5) == (new[:, :3] > 0)).mean() > 0.85
    else:
        assert np.corrcoef(scores.ravel(), np.tanh(new[:, :3]).ravel())[0, 1] > 0.85
    np.testing.assert_array_equal(scores, worker.PEERS[peer][1](train)(new), "the same seed, the same bytes")


@pytest.mark.parametrize("peer", [name for name in HERE if name != "autogluon"])
def test_rare_labels_and_no_dev_slice_are_survived(peer):
    units = make("multilabel", 3)
    units.y[:, 0], units.y[:, 1] = 0, 1
    scores = worker.PEERS[peer][1](units)(units.x)
    if peer != "tabm":  # which learns all units at once
        assert (scores[:, 0] == 0).all() and (scores[:, 1] == 1).all()
    classes = make("multiclass", 3)
    classes.y[classes.y == 1] = 0
    classes.y[-1] = 1  # in dev alone
    scores = worker.PEERS[peer][1](classes)(classes.x)
    assert scores.shape == (len(classes.x), 3) and np.isfinite(scores).all()
    classes.y[-1] = 0
    classes.dev[:] = False
    scores = worker.PEERS[peer][1](classes)(classes.x)
    if peer != "tabm":
        assert (scores[:, 1] == 0).all(), "a class that nobody has shown"
    assert (scores.argmax(1) == classes.y).mean() > 0.7


def test_weights_of_rows_count():
    train = make("multiclass", 2)
    heavy = worker.replace(train, weight=np.where(train.y == 1, 50.0, 1.0))
    for peer in [name for name in HERE if name != "autogluon"]:
        plain, weighed = (worker.PEERS[peer][1](part)(train.x)[:, 1].mean() for part in (train, heavy))
        assert weighed > plain, peer


def test_a_column_that_is_made_larger_is_penalised_less():
    train = make("regression", 1)
    train = worker.replace(train, x=np.repeat(train.x[:, :1], 2, 1), scale=np.array([1, 8], np.float32))
    sizes = []
    for scaled in (False, True):
        predict = worker.logistic(train, scaled)
        sizes.append([float(predict(row[None])[0, 0] - predict(np.zeros((1, 2)))[0, 0]) for row in np.eye(2)])
    assert sizes[0][0] == pytest.approx(sizes[0][1], rel=1e-3), "the same column twice shares the coefficient"
    assert sizes[1][1] == pytest.approx(64 * sizes[1][0], rel=1e-2), "in a ridge regression by the scale's square"


def test_the_strength_is_that_of_the_best_held_out_loss():
    train = make("multilabel", 1)
    noise = worker.replace(train, y=np.random.default_rng(2).integers(0, 2, train.y.shape).astype(np.uint8))
    for part, expected in ((train, worker.STRENGTHS[-1]), (noise, worker.STRENGTHS[0])):
        assert min(worker.STRENGTHS, key=lambda c: worker._held_out_loss(part, c)) == expected


def test_members_of_tabm_have_a_loss_each():
    import torch
    from torch.nn import functional

    class Fixed:
        def __call__(self, x):
            return out

    out = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    y, weight = np.array([0, 2, 1, 1, 0], np.int8), np.array([1.0, 2, 3, 4, 5])
    part = Train("multiclass", 3, 0, np.zeros((5, 2), np.float32), y, weight, *[np.zeros(5)] * 2, np.ones(2))
    loss = [weight[n] * -out[n, k].log_softmax(0)[int(y[n])] for n in range(5) for k in range(4)]
    assert float(worker._tabm_loss(Fixed(), part)) == pytest.approx(float(sum(loss)) / 20, rel=1e-5)
    units = worker.replace(part, labels="multilabel", y=np.eye(3, dtype=np.uint8)[y], weight=np.ones((5, 3)) * 2)
    each = functional.binary_cross_entropy_with_logits(
        out, torch.from_numpy(units.y).float()[:, None].expand(5, 4, 3), reduction="mean"
    )
    assert float(worker._tabm_loss(Fixed(), units)) == pytest.approx(2 * float(each), rel=1e-5)


def test_tabm_is_scored_in_pieces_as_in_one_pass(monkeypatch):
    import torch

    dev, seen = make("multilabel", 3), []
    dev = worker.replace(dev, weight=np.random.default_rng(3).random(dev.weight.shape))

    def model(x):
        seen.append(len(x))
        return (x[:, None, :3] * torch.tensor([1.0, 2, 3])[:, None]).contiguous()

    whole = worker._score_tabm(model, dev)
    monkeypatch.setattr(worker, "TABM_PIECE", 100)
    assert worker._score_tabm(model, dev) == pytest.approx(whole, rel=1e-6)
    assert seen == [240, 100, 100, 40]


def test_one_recording_has_no_folds_and_one_class_no_regression():
    for labels in ("multilabel", "multiclass", "regression"):
        train = make(labels, 2)
        alone = worker.replace(train, group=np.zeros_like(train.group))
        assert np.isfinite(worker.logistic(alone)(train.x)).all()
    classes = make("multiclass", 2)
    classes.y[:] = np.where(classes.group > 4, 1, 0)
    for peer in (name for name in HERE if name in ("logistic", "catboost", "lightgbm")):
        halves = worker.replace(classes, group=(classes.group > 4).astype(np.int64), dev=classes.group > 4)
        assert np.isfinite(worker.PEERS[peer][1](halves)(classes.x)).all(), "the rows outside a fold are of one class"
        one = worker.replace(classes, y=np.ones_like(classes.y))
        assert worker.PEERS[peer][1](one)(classes.x[:2]).tolist() == [[0, 1]] * 2


def test_a_unit_that_dev_alone_shows_is_left_to_its_rate_by_peers_that_stop_there():
    train = make("multilabel", 1)
    train.y[~train.dev] = 0
    made = []

    def fit(part):
        made.append(part)

    for stops in (True, False):
        scores = worker.each_output(train, fit, stops)(train.x)
        assert (scores == train.y.mean()).all(), "nor is what no model was made for"
        assert len(made) == (not stops)
    assert np.ptp(worker.logistic(train)(train.x)) > 0


def test_columns_are_standardised_as_in_one_piece(monkeypatch):
    x = (np.random.default_rng(0).standard_normal((50, 3)) * [1, 20, 0] + [5, -300, 7]).astype(np.float32)
    monkeypatch.setattr(worker, "PIECE", 16)
    mean, factor = worker._moments(x)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(factor[:2], 1 / x.std(0, dtype=np.float64)[:2], rtol=1e-6)
    assert factor[2] == 0 and mean.dtype == factor.dtype == np.float32


@pytest.mark.skipif("autogluon" not in HERE, reason="AutoGluon has an environment of its own")
@pytest.mark.parametrize("labels", ["multilabel", "multiclass", "regression"])
def test_autogluon_learns_what_a_column_says(labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = worker.replace(make(labels, 2), presets="medium_quality")
    scores = worker.autogluon(train)(train.x)
    assert scores.shape == (len(train.x), 2) and np.isfinite(scores).all()


def test_a_unit_for_which_autogluon_has_no_time_gets_its_rate_and_rare_classes_are_kept(tmp_path, monkeypatch, capsys):
    asked = []

    class Predictor:
        def __init__(self, *given, **more):
            asked.append(more["learner_kwargs"])

        def fit(self, *given, **more):
            raise AssertionError("Not enough time left to train models. Consider a larger time_limit.")

    class Table(dict):
        def __init__(self, x, columns):
            pass

        def __getitem__(self, at):
            return self

    module = types.SimpleNamespace(TabularDataset=Table, TabularPredictor=Predictor)
    monkeypatch.setitem(sys.modules, "autogluon", types.SimpleNamespace(tabular=module))
    monkeypatch.setitem(sys.modules, "autogluon.tabular", module)
    monkeypatch.chdir(tmp_path)
    train = make("multilabel", 2)
    np.testing.assert_array_equal(worker.autogluon(train)(train.x[:3]), [train.y.mean(0)] * 3)
    assert asked == [{"label_count_threshold": 1}] * 2
    assert "AutoGluon made no model in 5 s: Not enough time" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="no model was made: give it more time"):
        worker.autogluon(make("multiclass", 2))


def test_a_job_on_files_gives_scores_by_part(tmp_path):
    train = make("regression", 2)
    arrays = {name: getattr(train, name) for name in ("x", "y", "weight", "group", "scale")}
    np.savez(tmp_path / "train.npz", labels=np.array("regression"), outputs=np.array(2), **arrays)
    (tmp_path / "dev" / "0").mkdir(parents=True)
    np.save(tmp_path / "dev" / "0" / "dev.npy", train.dev)
    np.save(tmp_path / "val.npy", train.x[:7])
    np.save(tmp_path / "test.npy", train.x[:0])
    results = worker.learn(tmp_path, "logistic", 0, 1.0, "")
    assert results["val"].shape == (7, 2) and results["test"].shape == (0, 2)
    assert results["val"].dtype == np.float32 and np.abs(results["val"]).max() <= 1
    np.testing.assert_allclose(results["val"], np.clip(worker.logistic(train)(train.x[:7]), -1, 1), rtol=1e-5)
    assert results["seconds"] >= 0
