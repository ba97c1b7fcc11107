from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heads.abaw.tasks import TASKS
from heads.base import threads
from heads.data.table import Block, LabelledRows, Rows
from heads.families.sequence import network as sequence_network
from heads.families.sequence import training as sequence_training
from heads.families.sequence.augment import Augmentation
from heads.families.sequence.layers import Kind, Shape
from heads.families.sequence.network import Stream
from heads.families.sequence.training import Training, TrainingConfig

ROOT = Path(__file__).parents[4]
AU = TASKS["au"]
KINDS: tuple[Kind, ...] = ("transformer", "tcn", "bigru")
COURSE = TrainingConfig(4, 3, 0.01, 0.01, 1.0, 1, 0.5, Augmentation(0.2, 0.2, 0.2))
SHAPE = Shape(2, 2, 16, 32, 10, 0.2)


def labelled(videos: int = 6, frames: int = 35, width: int = 5, seed: int = 0) -> LabelledRows:
    rng, n = np.random.default_rng(seed), videos * frames
    rows = Rows(
        tuple(f"v{i}" for i in range(videos)),
        np.repeat(np.arange(videos, dtype=np.int32), frames),
        np.tile(np.cumsum(rng.integers(1, 4, frames)).astype(np.int32), videos),
        (Block("net", "embedding", rng.normal(size=(n, width)).astype(np.float16)),),
        np.arange(n),
    )
    return LabelledRows(rows, (rows.batch()[:, np.arange(12) % width] > 0.2).astype(np.uint8))


def model(seed: int = 0, shape: Shape = SHAPE, width: int = 5) -> sequence_network.Encoder:
    moments = np.zeros(width, np.float32), np.ones(width, np.float32)
    return sequence_network.build((Stream("all", 0, width),), shape, 12, moments, seed)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def learnt(shape: Shape = SHAPE) -> sequence_network.Encoder:
    training = Training(AU, model(shape=shape), COURSE, labelled(), seed=1)
    training.epoch()
    training.epoch()
    return training.model


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_learns_the_same_bits_and_dropout_is_on(kind: Kind) -> None:
    shape = replace(SHAPE, kind=kind)
    assert same(learnt(shape), learnt(shape))
    assert not same(learnt(shape), learnt(replace(shape, dropout=0.0)))


@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_a_batch_learn_what_the_whole_batch_learns(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anything random, but for the order in which numbers are added up."""
    gradients, plain = [], replace(COURSE, augmentation=Augmentation(), batch=50)
    for worth in (1, 2**40):
        monkeypatch.setattr(sequence_training, "WORTH_SHARING", worth)
        training = Training(AU, model(shape=replace(SHAPE, dropout=0.0, kind=kind)), plain, labelled(), seed=1)
        assert training.shares == (2 if worth == 1 else 1)
        training.epoch()
        assert training.steps == 1
        gradients.append([p.grad for p in training.parameters])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_threads_change_no_bit(kind: Kind, tmp_path: Path) -> None:
    code = f"""
import sys, torch; sys.path.insert(0, {str(Path(__file__).parent)!r})
from heads.families.sequence import training; training.WORTH_SHARING = 1; training.quiet_torch()
import test_training as here
found = here.learnt(here.replace(here.SHAPE, kind={kind!r}))
scores = training.predict_rows(found, here.AU, here.labelled(seed=1).rows, here.COURSE)
torch.save([*found.parameters(), torch.from_numpy(scores)], sys.argv[1])
"""
    for count in ("1", "2"):
        environment = os.environ | threads.environment() | {threads.VARIABLE: count, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / count)], env=environment, check=True)
    first, second = (torch.load(tmp_path / count) for count in ("1", "2"))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert os.environ.get(threads.VARIABLE) != "2"


def test_on_a_gpu_attention_is_left_no_kind_that_adds_up_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sdp, kinds = torch.backends.cuda, ("flash", "mem_efficient", "cudnn", "math")
    before = {kind: getattr(sdp, f"{kind}_sdp_enabled")() for kind in kinds}
    threads_before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        for kind in kinds:
            getattr(sdp, f"enable_{kind}_sdp")(True)
        sequence_training.quiet_torch()
        assert [kind for kind in kinds if getattr(sdp, f"{kind}_sdp_enabled")()] == ["math"]
    finally:
        for kind, was in before.items():
            getattr(sdp, f"enable_{kind}_sdp")(was)
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(deterministic, warn_only=warns)


@pytest.mark.parametrize(("step", "kind"), [(1, "transformer"), (3, "transformer"), (3, "tcn"), (1, "bigru")])
def test_predictions_are_the_weighted_mean_of_the_clips_that_a_frame_is_in(step: int, kind: Kind) -> None:
    rows, network = labelled().rows, model(shape=replace(SHAPE, kind=kind)).eval()
    found = sequence_training.predict_rows(network, AU, rows, replace(COURSE, step=step))
    x = network.standardise(torch.from_numpy(rows.batch()))
    total, weighed = np.zeros((len(rows), 12)), np.zeros(len(rows))
    for v in range(6):
        own = np.flatnonzero(rows.video == v)
        start = int(rows.frame[own[0]])
        while True:
            for phase in range(step):
                clip, there, who = torch.zeros(1, 10, 5), torch.zeros(1, 10, dtype=torch.bool), {}
                for row in own:
                    place, odd = divmod(int(rows.frame[row]) - start - phase, step)
                    if odd == 0 and 0 <= place < 10:
                        clip[0, place], there[0, place], who[place] = x[row], True, row
                if who:
                    with torch.no_grad():
                        scores = network(clip, there).sigmoid()[0].numpy()
                    for place, row in who.items():
                        total[row] += min(place + 1, 10 - place) * scores[place]
                        weighed[row] += min(place + 1, 10 - place)
            if start + 10 * step > rows.frame[own[-1]]:
                break
            start += 5 * step
    np.testing.assert_allclose(found, total / weighed[:, None], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_do_not_hang_on_batches_other_videos_or_memory(kind: Kind) -> None:
    data, network = labelled().rows, model(shape=replace(SHAPE, kind=kind))
    whole = sequence_training.predict_rows(network, AU, data, COURSE)
    for batch in (1, 2, 50):
        found = sequence_training.predict_rows(network, AU, data, replace(COURSE, batch=batch))
        np.testing.assert_allclose(found, whole, atol=1e-5)
    for v in range(6):
        alone = np.flatnonzero(data.video == v)
        np.testing.assert_allclose(
            sequence_training.predict_rows(network, AU, data.take(alone), COURSE), whole[alone], atol=1e-5
        )
    other = labelled().rows
    other.blocks[0].values[other.video == 2] += 1
    changed = np.abs(sequence_training.predict_rows(network, AU, other, COURSE) - whole).max(1) > 0
    assert changed[data.video == 2].all() and not changed[data.video != 2].any()


def test_frames_beyond_a_gap_are_not_taken_for_neighbours() -> None:
    network, changed = model(), []
    for gap in (0, 4, 5, 1000):
        at = np.arange(1, 36) + gap * (np.arange(35) >= 20)
        rows, other = (replace(labelled(videos=1).rows, frame=at.astype(np.int32)) for _ in range(2))
        other.blocks[0].values[20:] += 1
        a, b = (sequence_training.predict_rows(network, AU, some, COURSE) for some in (rows, other))
        changed.append(int((np.abs(a - b)[:20].max(1) > 1e-5).sum()))
    assert changed == [5, 5, 0, 0], "a clip from frame 16 on has frames up to 25"


def test_the_best_epoch_comes_back_and_no_dev_keeps_the_last() -> None:
    data = labelled()
    train, dev = data.take(data.rows.video < 4), data.take(data.rows.video >= 4)
    training = Training(AU, model(), COURSE, train, seed=1)
    best, score = training.run(dev, 4, lambda *_: None)
    from heads.base import selection

    found = sequence_training.predict_rows(training.model, AU, dev.rows, COURSE, overlap=0.0)
    assert 1 <= best <= 4 and score == pytest.approx(selection.selection_score(AU, dev.truth, found), abs=1e-6)
    again = Training(AU, model(), COURSE, train, seed=1)
    assert again.run(dev.take(np.empty(0, np.int64)), best, lambda *_: None) == (best, None)
    assert same(training.model, again.model), "as many epochs learn the same, with and without dev"


@pytest.mark.slow
def test_bfloat16_learns_about_the_same() -> None:
    plain = replace(COURSE, augmentation=Augmentation(), epochs=30)
    found = []
    for half in (False, True):
        training = Training(AU, model(), replace(plain, half=half), labelled(), seed=1)
        for _ in range(30):
            training.epoch()
        assert all(p.dtype == torch.float32 for p in training.model.parameters())
        scores = sequence_training.predict_rows(training.model, AU, labelled().rows, COURSE)
        found.append(AU.score(labelled().truth, scores >= 0.5))
    assert min(found) > 0.75 and abs(found[0] - found[1]) < 0.1


def test_the_rate_rises_and_falls_to_nothing() -> None:
    rates = [sequence_training.rate(step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert (np.diff(rates[10:]) < 0).all() and rates[-1] == pytest.approx(0, abs=1e-9)
    assert sequence_training.rate(1, 1) == 1 and sequence_training.rate(120, 100) == pytest.approx(0)
