import numpy as np
import pytest
import torch

from extract.learning import losses
from extract.learning.losses import Target

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


def test_scores_are_what_the_metrics_take():
    x = RNG.normal(0, 3, (5, 8)).astype(np.float32)
    np.testing.assert_allclose(losses.compute_scores("multiclass", x), softmax(x), rtol=1e-5)
    np.testing.assert_allclose(losses.compute_scores("multilabel", x), 1 / (1 + np.exp(-x)), atol=1e-6)
    assert np.abs(losses.compute_scores("regression", x)).max() == 1
