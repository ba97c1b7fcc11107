import numpy as np
import pytest
import torch

from extract.learning import losses
from extract.learning.losses import JointTarget, Target

RNG = np.random.default_rng(0)


def softmax(x):
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def loss_of(labels, weights, outputs, truth, smoothing=0.1):
    target = Target("t", labels, tuple("abcdefghijkl")[: outputs.shape[1]], np.asarray(weights, np.float32))
    return float(losses.create_loss(target, smoothing, "cpu")(torch.tensor(outputs), torch.tensor(truth)))


def test_cross_entropy_weighs_every_class_of_the_soft_target_and_divides_by_the_batch():
    outputs = RNG.normal(size=(20, 8)).astype(np.float32)
    truth, weights = RNG.integers(0, 8, 20), RNG.uniform(1, 10, 8)
    soft = 0.9 * np.eye(8)[truth] + 0.1 / 8
    expected = -(weights * soft * np.log(softmax(outputs.astype(np.float64)))).sum(1).mean()
    assert loss_of("multiclass", weights, outputs, truth) == pytest.approx(expected, rel=1e-5)
    plain = -np.log(softmax(outputs.astype(np.float64)))[np.arange(20), truth].mean()
    assert loss_of("multiclass", np.ones(8), outputs, truth, 0.0) == pytest.approx(plain, rel=1e-5)


def test_binary_cross_entropy_weighs_a_units_absence_and_presence():
    outputs = RNG.normal(size=(20, 12)).astype(np.float32)
    truth, weights = RNG.integers(0, 2, (20, 12)).astype(np.uint8), RNG.uniform(0.5, 3, (2, 12))
    p = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    expected = -np.where(truth, weights[1] * np.log(p), weights[0] * np.log(1 - p)).mean()
    assert loss_of("multilabel", weights, outputs, truth) == pytest.approx(expected, rel=1e-5)


def test_concordance_loss_is_one_less_the_ccc_and_finite_where_nothing_varies():
    outputs, truth = (RNG.uniform(-1, 1, (30, 2)).astype(np.float32) for _ in range(2))
    ccc = [
        2 * np.cov(t, o, bias=True)[0, 1] / (t.var() + o.var() + (t.mean() - o.mean()) ** 2)
        for t, o in zip(truth.T, outputs.T, strict=True)
    ]
    assert loss_of("regression", [], outputs, truth) == pytest.approx(1 - np.mean(ccc), rel=1e-4)
    constant = torch.full((4, 2), 0.5, requires_grad=True)
    losses.concordance_loss(constant, torch.full((4, 2), 0.5)).backward()
    assert torch.isfinite(constant.grad).all()


WEIGHTS = RNG.uniform(0.5, 2, 4), RNG.uniform(0.5, 2, (2, 3))
JOINT = JointTarget(
    "t",
    (
        Target("v", "regression", ("v", "a"), np.empty(0, np.float32)),
        Target("c", "multiclass", (*"abcd",), WEIGHTS[0].astype(np.float32)),
        Target("m", "multilabel", (*"xyz",), WEIGHTS[1].astype(np.float32)),
    ),
)


def joint_truth(n, lacks):
    """Two values, a class, three units; of each part the rows in `lacks` have no label."""
    rng = np.random.default_rng(n)
    truth = np.column_stack([rng.uniform(-1, 1, (n, 2)), rng.integers(0, 4, n), rng.integers(0, 2, (n, 3))])
    for columns, rows in zip((slice(0, 2), slice(2, 3), slice(3, 6)), lacks, strict=True):
        truth[rows, columns] = np.nan
    return truth


def joint_loss_by_loops(outputs, truth):
    """Row by row, without a mask: values in columns 0 and 1, four classes, three units; smoothing .1."""
    total, n = 0.0, len(truth)
    rows = [i for i in range(n) if truth[i, 0] == truth[i, 0]]
    for column in (0, 1):
        t, o = truth[rows, column], outputs[rows, column]
        if rows:
            below = t.var() + o.var() + (t.mean() - o.mean()) ** 2
            total += (1 - 2 * ((t - t.mean()) * (o - o.mean())).mean() / below) / 2
    each = []
    for i in range(n):
        if truth[i, 2] == truth[i, 2]:
            logs = outputs[i, 2:6] - np.log(np.exp(outputs[i, 2:6]).sum())
            each.append(-sum(WEIGHTS[0][c] * ((c == truth[i, 2]) * 0.9 + 0.1 / 4) * logs[c] for c in range(4)))
    total += np.mean(each) if each else 0
    each = []
    for i in range(n):
        for unit in range(3):
            if (shown := truth[i, 3 + unit]) == shown:
                p = 1 / (1 + np.exp(-outputs[i, 6 + unit]))
                each.append(-WEIGHTS[1][int(shown), unit] * np.log(p if shown else 1 - p))
    return total + (np.mean(each) if each else 0)


@pytest.mark.parametrize(
    "lacks",
    [
        ([], [], []), ([0, 3], [1, 3, 5], [2, 7]), ([*range(9)], [2], []), ([], [*range(9)], [4]),
        ([1], [], [*range(9)]), ([*range(9)], [*range(9)], [3]), ([*range(1, 9)], [0], [*range(9)]),
    ],
)  # fmt: skip
def test_of_several_tasks_each_loss_is_of_the_pictures_with_its_label_and_they_are_added(lacks):
    truth = joint_truth(9, lacks)
    outputs = np.random.default_rng(1).normal(0, 2, (9, 9))
    given = torch.tensor(outputs, requires_grad=True)
    loss = losses.create_loss(JOINT, 0.1, "cpu")(given, torch.tensor(truth))
    assert loss.item() == pytest.approx(joint_loss_by_loops(outputs, truth), rel=1e-6)
    loss.backward()
    for columns, rows in zip((slice(0, 2), slice(2, 6), slice(6, 9)), lacks, strict=True):
        assert not given.grad[rows, columns].any(), "without a label there is nothing to learn"
    assert torch.isfinite(given.grad).all() and not JOINT.loss_is_mean


def test_scores_are_what_the_metrics_take():
    x = RNG.normal(0, 3, (5, 8)).astype(np.float32)
    np.testing.assert_allclose(losses.compute_scores("multiclass", x), softmax(x), rtol=1e-5)
    np.testing.assert_allclose(losses.compute_scores("multilabel", x), 1 / (1 + np.exp(-x)), atol=1e-6)
    assert np.abs(losses.compute_scores("regression", x)).max() == 1
