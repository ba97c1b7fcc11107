import numpy as np
import pytest
import torch

from extract.learning import losses, optimiser
from extract.learning.network import Chain, FineTunedNetwork
from extract.learning.optimiser import NotFinite, add_gradient, add_in_parts, create_optimiser, take_step
from extract.networks import checkpoints

MATRIX = np.diag([3.0, 1.0, 0.2])


def gradient(p):
    return MATRIX @ p


def adam_by_hand(p, steps, rate, radius):
    first, second = np.zeros(3), np.zeros(3)
    for step in range(1, steps + 1):
        g = gradient(p)
        if radius:
            g = gradient(p + g * radius / (np.linalg.norm(g) + 1e-12))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        p = p - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return p


@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0])
def test_steps_are_those_computed_by_hand(radius):
    begin = np.array([1.0, -2.0, 0.5])
    parts = [torch.nn.Parameter(torch.tensor(begin[:1])), torch.nn.Parameter(torch.tensor(begin[1:]))]
    adam = torch.optim.Adam(parts, lr=0.1)
    matrix = torch.tensor(MATRIX)

    def loss():
        p = torch.cat(parts)
        return 0.5 * p @ matrix @ p

    for _ in range(4):
        take_step(lambda: add_gradient(loss()), adam, radius)
    found = torch.cat(parts).detach().numpy()
    np.testing.assert_allclose(found, adam_by_hand(begin, 4, 0.1, radius), rtol=1e-9)


def test_a_loss_that_is_not_finite_changes_nothing():
    p = torch.nn.Parameter(torch.tensor([1.0]))
    adam = torch.optim.Adam([p], lr=0.1)
    with pytest.raises(NotFinite, match="the loss is nan"):
        take_step(lambda: add_gradient((p * float("nan")).sum()), adam, 0.05)
    calls = iter([1.0, float("nan")])  # only at the end of SAM's climb
    with pytest.raises(NotFinite):
        take_step(lambda: add_gradient((p * next(calls)).sum()), adam, 0.05)
    with pytest.raises(NotFinite, match="norm is inf"):
        take_step(lambda: add_gradient((p - 1).sqrt().sum()), adam, 0.0)
    assert p.item() == 1.0 and not adam.state


@pytest.mark.parametrize("labels", ["multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("size", [3, 4, 11, 20])
def test_the_gradient_in_parts_is_that_of_the_whole_batch(labels, size):
    """Of 11 pictures: the last part smaller, and none left over; CCC, too, which no part knows by itself."""
    torch.manual_seed(size)
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    x = torch.randn(11, 6, dtype=torch.float64)
    truth = torch.randint(0, 2, (11,) if labels == "multiclass" else (11, 2))
    truth = torch.rand(11, 2, dtype=torch.float64) if labels == "regression" else truth
    weights = np.array([1.0, 3.0] if labels == "multiclass" else [[1.0, 2.0], [3.0, 0.5]], np.float32)
    loss = losses.create_loss(losses.Target("t", labels, ("a", "b"), weights), 0.1, "cpu")
    whole = loss(network(x), truth)
    wanted = torch.autograd.grad(whole, list(network.parameters()))
    seen = []

    def predict(part):
        seen.append(len(part))
        return network(part)

    value = add_in_parts(predict, loss, x, truth, size, is_mean=labels != "regression")
    assert max(seen) == min(size, 11)
    assert value == pytest.approx(whole.item(), rel=1e-9)
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [3, 11])
def test_the_gradient_in_parts_is_that_of_the_whole_batch_where_labels_are_missing(size):
    """The first part of three has no class at all, the last no value."""
    torch.manual_seed(size)
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4)).double()
    x, truth = torch.randn(11, 6, dtype=torch.float64), torch.rand(11, 3, dtype=torch.float64)
    truth[:, 2] = (truth[:, 2] > 0.5).double()
    truth[:4, 2], truth[9:, :2] = torch.nan, torch.nan
    parts = [losses.Target("t", kind, ("a", "b"), np.ones(2, np.float32)) for kind in ("regression", "multiclass")]
    target = losses.JointTarget("t", tuple(parts))
    loss = losses.create_loss(target, 0.1, "cpu")
    whole = loss(network(x), truth)
    wanted = torch.autograd.grad(whole, list(network.parameters()))
    value = add_in_parts(network, loss, x, truth, size, target.loss_is_mean)
    assert value == pytest.approx(whole.item(), rel=1e-9)
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9)


def test_both_passes_of_a_loss_that_is_no_mean_drop_the_same():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 40), torch.nn.Dropout(0.5), torch.nn.Linear(40, 2)).double()
    x, truth = torch.randn(9, 6, dtype=torch.float64), torch.rand(9, 2, dtype=torch.float64)
    torch.manual_seed(5)
    value = add_in_parts(network, losses.concordance_loss, x, truth, 4, is_mean=False)
    after = torch.rand(1)
    torch.manual_seed(5)
    whole = losses.concordance_loss(torch.cat([network(part) for part in x.split(4)]), truth)
    wanted = torch.autograd.grad(whole, list(network.parameters()))
    assert value == pytest.approx(whole.item(), rel=1e-9) and torch.equal(after, torch.rand(1))
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9)


def test_a_part_that_is_not_finite_is_named():
    p = torch.nn.Parameter(torch.ones(1))
    x = torch.tensor([[1.0], [float("nan")]])
    for is_mean in (True, False):
        with pytest.raises(NotFinite, match="the loss is nan"):
            add_in_parts(lambda part: part * p, lambda y, t: (y - t).mean(), x, torch.zeros(2, 1), 1, is_mean)


def wrap(arch):
    body = checkpoints.import_timm().create_model(arch, num_classes=0)
    return FineTunedNetwork(body, body.num_features, 8)


def test_layer_decays_factors_are_those_of_maes_fine_tuning():
    """ViT-B: depth 0 the stem, 1 to 12 the blocks, 13 the output layer and the last norm: .65 ** (13 - depth)."""
    network = wrap("vit_tiny_patch16_224")  # of as many blocks
    adam = create_optimiser(network, 1e-3, 0.05, 0.65, head_alone=False)
    names = {id(p): name for name, p in network.named_parameters()}
    rates = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in adam.param_groups for p in g["params"]}
    assert rates.keys() == dict(network.named_parameters()).keys()
    for name, (rate, decay) in rates.items():
        depth = int(name.split(".")[2]) + 1 if name.startswith("body.blocks.") else 13
        if name.startswith(("body.cls_token", "body.pos_embed", "body.patch_embed")):
            depth = 0
        assert rate == pytest.approx(1e-3 * 0.65 ** (13 - depth)), name
        plain = name.endswith(".bias") or "norm" in name or name.endswith(("cls_token", "pos_embed"))
        assert decay == (0 if plain else 0.05), name
    assert isinstance(adam, torch.optim.AdamW)


def test_depths_of_convolutional_networks_rise_from_the_stem_to_the_output_layer():
    depths = wrap("test_efficientnet").compute_depths()
    assert depths["body.conv_stem.weight"] == 0 and depths["body.conv_head.weight"] == depths["head.weight"]
    assert depths["head.weight"] == max(depths.values()) and sorted(set(depths.values())) == [*range(7)]
    chain = Chain([torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.Flatten()], 5)
    assert [*FineTunedNetwork(chain, 5, 8).compute_depths().values()] == [0, 0, 1, 1, 2, 2]


def test_in_the_first_stage_the_output_layer_alone_learns_and_then_everything_does():
    network = wrap("test_efficientnet")
    head = create_optimiser(network, 1e-3, 0.0, 1.0, head_alone=True)
    assert [p.shape for g in head.param_groups for p in g["params"]] == [(8,), network.head.weight.shape]
    network.set_training(frozen_norm=False, head_alone=True)
    assert network.training and not network.body.training
    everything = create_optimiser(network, 1e-4, 0.0, 1.0, head_alone=False)
    assert sum(len(g["params"]) for g in everything.param_groups) == len([*network.parameters()])
    assert all(p.requires_grad for p in network.parameters())
    assert type(everything) is torch.optim.Adam and optimiser.TINY == 1e-12


def test_frozen_norms_keep_their_statistics():
    network = wrap("test_efficientnet")
    before = {name: value.clone() for name, value in network.named_buffers()}
    for frozen in (True, False):
        network.set_training(frozen, head_alone=False)
        network(torch.randn(4, 3, 32, 32))
        same = all(torch.equal(before[name], value) for name, value in network.named_buffers())
        assert same == frozen
