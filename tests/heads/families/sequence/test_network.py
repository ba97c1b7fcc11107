"""The encoder against PyTorch's own, and what no frame may see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from heads.abaw import metrics
from heads.abaw.tasks import TASKS
from heads.base import selection
from heads.families.mlp import network as mlp_network
from heads.families.sequence import layers as sequence_layers
from heads.families.sequence import network as sequence_network
from heads.families.sequence.layers import Dropout, Shape, generators
from heads.families.sequence.network import Stream

SHAPE = Shape(layers=2, heads=2, width=8, feedforward=16, length=12, dropout=0.3)
STREAMS = (Stream("one", 0, 5), Stream("two", 5, 9, 9))
KINDS = ("transformer", "tcn", "bigru")
MOMENTS = np.linspace(-1, 1, 10, dtype=np.float32), np.linspace(0.5, 2, 10, dtype=np.float32)


def build(seed: int = 0, **changed: object) -> sequence_network.Encoder:
    return sequence_network.build(STREAMS, replace(SHAPE, **changed), 3, MOMENTS, seed).eval()


def clips(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(4, 12, 10)).astype(np.float32))
    x[..., 9] = torch.from_numpy(rng.random((4, 12)) < 0.7)
    there = torch.from_numpy(rng.random((4, 12)) < 0.6)
    there[:, 5] = True
    return x, there


@pytest.mark.parametrize("norm_first", [True, False])
def test_it_is_pytorchs_encoder_over_the_frames_that_are_there(norm_first: bool) -> None:
    model = build(norm_first=norm_first)
    oracle = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=norm_first),
        2,
        enable_nested_tensor=False,
    ).eval()
    for own, theirs in zip(model.layers, oracle.layers, strict=True):
        theirs.load_state_dict(own.state_dict())
    x, there = clips()
    with torch.no_grad():
        found = model(x, there)
        for clip in range(len(x)):
            own = x[clip, there[clip]]  # no padding at all
            streams = torch.cat([model.project[0](own[:, :5]), model.project[1](own[:, 5:9])], -1)
            streams[own[:, 9] < 0.5, 4:] = model.absent["1"]
            whole = oracle((streams + model.places[there[clip]])[None])[0]
            torch.testing.assert_close(found[clip, there[clip]], model.out(model.norm(whole)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_neither_padding_nor_neighbours_nor_what_is_absent_change_anything(kind: str) -> None:
    model = build(kind=kind)
    with torch.no_grad():
        model.absent["1"].normal_()
    x, there = clips()
    with torch.no_grad():
        before = model(x, there)
        other = x.clone()
        other[~there] = 1e3  # where nobody is
        other[..., 5:9][x[..., 9] < 0.5] = -1e3  # columns of an absent stream
        torch.testing.assert_close(model(other, there)[there], before[there], atol=1e-5, rtol=0)
        for some in ([2], [3, 2], [2, 2, 2, 0]):
            torch.testing.assert_close(model(x[some], there[some])[0][there[some[0]]], before[some[0]][there[some[0]]])
        other = x.clone()
        other[1] += 1
        assert torch.equal(model(other, there)[0][there[0]], before[0][there[0]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_that_ends_early_is_a_shorter_clip(kind: str) -> None:
    x, there = clips()
    long, short = build(kind=kind, length=20), build(kind=kind)
    padded, nobody = torch.full((4, 8, 10), 7.0), torch.zeros(4, 8, dtype=torch.bool)
    with torch.no_grad():
        found = long(torch.cat([x, padded], 1), torch.cat([there, nobody], 1))[:, :12]
        torch.testing.assert_close(found[there], short(x, there)[there], atol=1e-6, rtol=1e-5)


def test_a_tcn_sees_253_frames_with_six_layers_and_all_of_them_alike_wherever_they_are() -> None:
    model = build(kind="tcn", layers=6, length=600)
    x, there = torch.randn(1, 600, 10, generator=torch.Generator().manual_seed(1)), torch.ones(1, 600, dtype=torch.bool)
    x[..., 9] = 1
    other = x.clone()
    other[0, 300] += 50
    with torch.no_grad():
        before = model(x, there)[0]
        changed = (model(other, there)[0] != before).any(1).nonzero()[:, 0]
        moved = model(x.roll(40, 1), there)[0]
    assert changed.min() == 300 - 126 and changed.max() == 300 + 126
    torch.testing.assert_close(moved[200:470], before[160:430], atol=1e-5, rtol=0)


def test_a_layer_of_a_tcn_is_what_its_weights_say_and_a_missing_frame_is_zeros() -> None:
    layer = sequence_layers.Convolution(replace(SHAPE, kind="tcn"), 2).eval()
    x, there = torch.randn(3, 12, 8), clips()[1][:3]
    with torch.no_grad():
        found, known = layer(x, ~there), layer.norm(x) * there[..., None]
        for at in range(12):
            around = layer.convolution.bias.clone().repeat(3, 1)
            for tap, place in enumerate(range(at - 4, at + 5, 2)):
                if 0 <= place < 12:
                    around += known[:, place] @ layer.convolution.weight[:, :, tap].T
            gelu = 0.5 * around * (1 + torch.erf(around / 2**0.5))
            torch.testing.assert_close(found[:, at], x[:, at] + layer.mix(gelu), atol=1e-5, rtol=1e-5)


def test_a_gru_runs_over_the_frames_that_are_there_alone() -> None:
    layer = sequence_layers.Recurrence(replace(SHAPE, kind="bigru")).eval()
    x, there = torch.randn(4, 12, 8), clips()[1]
    gru = dict(layer.gru.named_parameters())

    def run(frames: torch.Tensor, way: str) -> torch.Tensor:
        """One direction, by the equations."""
        state, states = torch.zeros(4), []
        for frame in frames:
            of_x = gru[f"weight_ih_l0{way}"] @ frame + gru[f"bias_ih_l0{way}"]
            of_h = gru[f"weight_hh_l0{way}"] @ state + gru[f"bias_hh_l0{way}"]
            reset, update = ((of_x + of_h)[:8].sigmoid()).split(4)
            new = (of_x[8:] + reset * of_h[8:]).tanh()
            state = (1 - update) * new + update * state
            states.append(state)
        return torch.stack(states)

    with torch.no_grad():
        found = layer(x, ~there)
        for clip in range(4):
            own = x[clip, there[clip]]
            both = torch.cat([run(layer.norm(own), ""), run(layer.norm(own).flip(0), "_reverse").flip(0)], 1)
            torch.testing.assert_close(found[clip, there[clip]], own + both, atol=1e-5, rtol=1e-5)


def test_a_bigru_with_its_ways_exchanged_sees_a_clip_backwards() -> None:
    layer = sequence_layers.Recurrence(replace(SHAPE, kind="bigru")).eval()
    x, there = torch.randn(4, 12, 8), clips()[1]
    with torch.no_grad():
        before = (layer(x, ~there) - x)[there]
        weights = {name: value.clone() for name, value in layer.gru.state_dict().items()}
        for name in [name for name in weights if not name.endswith("_reverse")]:
            layer.gru.state_dict()[name].copy_(weights[f"{name}_reverse"])
            layer.gru.state_dict()[f"{name}_reverse"].copy_(weights[name])
        after = (layer(x.flip(1), ~there.flip(1)).flip(1) - x)[there]
    torch.testing.assert_close(after.roll(4, 1), before, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(after, before, atol=1e-2)


def test_a_frame_is_told_from_the_next_by_its_place_and_nothing_else() -> None:
    model = build()
    x, there = torch.zeros(1, 12, 10), torch.ones(1, 12, dtype=torch.bool)
    with torch.no_grad():
        out = model(x, there)[0]
        assert torch.pdist(out).min() > 1e-3
        torch.testing.assert_close(
            (model.places[3:] * model.places[:-3]).sum(1),
            torch.full((9,), 1.0) * (model.places[3] * model.places[0]).sum(),
            atol=1e-5,
            rtol=0,
        )  # only distance counts


def test_standardising_leaves_the_column_of_presence_as_it_is() -> None:
    mean, deviation = MOMENTS[0].copy(), MOMENTS[1].copy()
    mean[9], deviation[9] = 0, 1
    model = sequence_network.build(STREAMS, SHAPE, 3, (mean, deviation), 0)
    x, _ = clips()
    z = model.standardise(x)
    assert torch.equal(z[..., 9], x[..., 9])
    np.testing.assert_allclose(z[..., :9].numpy(), (x.numpy() - mean)[..., :9] / deviation[:9], rtol=1e-5)


def test_a_seed_is_the_same_network_and_leaves_the_processs_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (build(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["out.weight"], third["out.weight"])


def test_dropout_draws_from_its_threads_generator_and_keeps_the_mean() -> None:
    dropout, x = Dropout(0.25), torch.ones(200, 500)
    found = []
    for _ in range(2):
        generators.current = torch.Generator().manual_seed(3)
        found.append(dropout.train()(x))
    assert torch.equal(*found)
    assert found[0].unique().tolist() == pytest.approx([0, 4 / 3])
    assert abs(float(found[0].mean()) - 1) < 0.01
    assert dropout.eval()(x) is x


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_losses_are_those_of_the_mlps_and_of_scikit_learn(task: str, balance: float) -> None:
    rng, facts = np.random.default_rng(0), TASKS[task]
    logits = rng.normal(size=(50, len(facts.outputs))).astype(np.float32)
    truth = {
        "au": rng.integers(0, 2, (50, 12)).astype(np.uint8),
        "expr": np.concatenate([np.arange(8), rng.integers(0, 8, 42)]).astype(np.int8),
        "va": np.tanh(rng.normal(size=(50, 2))).astype(np.float32),
    }[task]
    by_label = selection.label_weights(truth, facts, balance)
    outputs = torch.from_numpy(logits)
    found = float(sequence_network.compute_loss(facts, outputs, torch.from_numpy(truth), torch.from_numpy(by_label)))
    scores = sequence_network.activate(facts, outputs).numpy()
    if task == "va":
        assert found == pytest.approx(1 - metrics.ccc_per_dimension(truth, scores).mean(), abs=1e-5)
    elif task == "expr":
        weight = by_label[truth]
        exact = scores.astype(np.float64) / scores.sum(1, dtype=np.float64)[:, None]
        each = log_loss(truth, exact, sample_weight=weight, labels=range(8))
        assert found == pytest.approx(each * weight.mean(), rel=1e-5)
        np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    else:
        weight = np.where(truth > 0, by_label[1], by_label[0])
        p = scores.astype(np.float64)
        assert found == pytest.approx(float((-weight * np.log(np.where(truth > 0, p, 1 - p))).mean()), rel=1e-5)
    tf = mlp_network.tensorflow()
    targets = mlp_network.targets(facts, tf.constant(truth))
    theirs = mlp_network.create_loss(facts, targets, tf.constant(scores), mlp_network.weigh(facts, truth, by_label))
    assert found == pytest.approx(float(theirs), rel=1e-4)
