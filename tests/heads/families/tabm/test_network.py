"""TabM's network against a loop over its members, and against the package's own."""

from __future__ import annotations

import numpy as np
import pytest
import tabm
import torch
from sklearn.metrics import log_loss

from heads.abaw import metrics
from heads.abaw.tasks import TASKS
from heads.base import selection
from heads.families.sequence.layers import generators
from heads.families.tabm import network as tabm_network
from heads.families.tabm import training as tabm_training
from heads.families.tabm.settings import TabmSettings

SETTINGS = TabmSettings(inputs=["logits"], members=3, blocks=3, hidden=6, dropout=0.5)
MOMENTS = np.linspace(-1, 1, 5, dtype=np.float32), np.linspace(0.5, 2, 5, dtype=np.float32)


def build(seed: int = 0) -> tabm_network.TabM:
    return tabm_network.build(5, SETTINGS, 2, MOMENTS, seed).eval()


def rows(n: int = 7) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32))


def test_every_member_is_a_perceptron_that_shares_its_matrices() -> None:
    model = build()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.endswith("weight"):
                value.normal_()  # r, s and biases that differ
        arrays = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}
        found = model(rows()).numpy()
    for member in range(3):
        for row, values in enumerate(rows().numpy()):
            x = (values - MOMENTS[0]) / MOMENTS[1]
            for i in range(3):
                weight, r, s, bias = (arrays[f"layers.{i}.{name}"] for name in ("weight", "r", "s", "bias"))
                x = np.maximum(s[member] * (weight @ (r[member] * x)) + bias[member], 0)
            expected = x @ arrays["out.weight"][member] + arrays["out.bias"][member]
            np.testing.assert_allclose(found[row, member], expected, atol=1e-4, rtol=1e-4)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 0.1


def test_it_is_the_packages_network_with_its_gradients_and_begins_as_it_does() -> None:
    theirs = tabm.TabM.make(n_num_features=5, d_out=2, k=3, n_blocks=3, d_block=6, dropout=0.0, arch_type="tabm")
    ours = build()
    names = {f"layers.{i}.": f"backbone.blocks.{i}.0." for i in range(3)} | {"out.": "output."}

    def own(name: str) -> torch.nn.Parameter:
        short = next(part for part in names if name.startswith(part))
        return dict(theirs.named_parameters())[names[short] + name.removeprefix(short)]

    assert len(list(theirs.parameters())) == len(list(ours.parameters()))
    assert set(ours.layers[0].r.unique().tolist()) == {-1.0, 1.0} == set(own("layers.0.r").unique().tolist())
    for name, value in ours.named_parameters():
        if name.endswith((".r", ".s")) and name != "layers.0.r":
            assert (value == 1).all() and (own(name) == 1).all(), name
        own(name).data.copy_(value.data)
    x = rows()
    outputs, expected = ours(x), theirs.eval()((x - ours.mean) / ours.deviation)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    for name, value in ours.named_parameters():
        torch.testing.assert_close(value.grad, own(name).grad, atol=1e-4, rtol=1e-4)


def test_a_seed_is_the_same_network_and_leaves_the_processs_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (build(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], third["layers.0.weight"])
    assert {name: tuple(value.shape) for name, value in first.items()} == tabm_network.sizes(5, SETTINGS, 2)


def test_members_drop_different_units() -> None:
    generators.current = torch.Generator().manual_seed(0)
    dropped = build().dropout.train()(torch.ones(4, 3, 6)) == 0
    assert 0.2 < float(dropped.float().mean()) < 0.8 and not torch.equal(dropped[:, 0], dropped[:, 1])


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_is_the_mean_of_the_members_losses(task: str) -> None:
    rng, facts = np.random.default_rng(0), TASKS[task]
    logits = rng.normal(size=(50, 4, len(facts.outputs))).astype(np.float32)
    truth = {
        "au": rng.integers(0, 2, (50, 12)).astype(np.uint8),
        "expr": np.concatenate([np.arange(8), rng.integers(0, 8, 42)]).astype(np.int8),
        "va": np.tanh(rng.normal(size=(50, 2))).astype(np.float32),
    }[task]
    by_label = selection.label_weights(truth, facts, 1.0)
    outputs = torch.from_numpy(logits).requires_grad_()
    found = tabm_training.members_loss(facts, outputs, torch.from_numpy(truth), torch.from_numpy(by_label))
    each = []
    for member in range(4):
        own = logits[:, member].astype(np.float64)
        if task == "va":
            each.append(1 - metrics.ccc_per_dimension(truth, np.tanh(own)).mean())
        elif task == "expr":
            p = np.exp(own) / np.exp(own).sum(1, keepdims=True)
            weight = by_label[truth]
            each.append(log_loss(truth, p, sample_weight=weight, labels=range(8)) * weight.mean())
        else:
            p = 1 / (1 + np.exp(-own))
            each.append((-np.where(truth > 0, by_label[1], by_label[0]) * np.log(np.where(truth > 0, p, 1 - p))).mean())
    assert float(found.detach()) == pytest.approx(np.mean(each), rel=1e-5)
    found.backward()
    assert outputs.grad is not None and (outputs.grad.abs().amax((0, 2)) > 0).all(), "every member learns"
