from __future__ import annotations

import numpy as np
import pytest
import torch

from heads.families.sequence.augment import Augmentation, augment
from heads.families.sequence.network import Stream

STREAMS = (Stream("a", 0, 3), Stream("b", 3, 5, 5))


def clips(count: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.full((count, 20, 6), 2.0)
    x[..., 5] = (torch.arange(count)[:, None] % 3 > 0).float()
    there = torch.ones(count, 20, dtype=torch.bool)
    there[:, 15:] = False
    return x, there


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_nothing_asked_nothing_done() -> None:
    x, there = clips()
    found, left = augment(x, there, Augmentation(), STREAMS, generator())
    assert found is x and left is there


def test_noise_has_its_deviation_and_spares_what_says_what_is_present() -> None:
    x, there = clips()
    found, left = augment(x, there, Augmentation(noise=0.5), STREAMS, generator())
    assert left is there and torch.equal(found[..., 5], x[..., 5])
    noise = (found - x)[..., :5].numpy()
    assert abs(noise.mean()) < 0.01 and noise.std() == pytest.approx(0.5, rel=0.02)
    assert torch.equal(found, augment(x, there, Augmentation(noise=0.5), STREAMS, generator())[0])
    assert torch.equal(*(clips()[0], x)), "the argument is not changed"


def test_one_span_of_a_clip_is_hidden() -> None:
    x, there = clips(3000)
    found, left = augment(x, there, Augmentation(masked_share=0.2), STREAMS, generator())
    assert left is there and torch.equal(found[..., 5], x[..., 5])
    hidden = (found[..., :5] == 0).all(-1).numpy()
    assert ((found[..., :5] == 0) == torch.from_numpy(hidden)[..., None]).all(), "all columns of a frame or none"
    runs = (np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1) == 1).sum(1)
    assert runs.max() == 1, "in one span"
    assert 0.12 < hidden.mean() < 0.22, "less at the ends, where spans stand over the edge"
    assert (hidden.mean(0) > 0.1).all(), "every place has its turn"


def test_frames_are_taken_out_but_never_all() -> None:
    x, there = clips(2000)
    found, left = augment(x, there, Augmentation(dropped_share=0.3), STREAMS, generator())
    assert found is x and not (left & ~there).any()
    assert float(left[:, :15].float().mean()) == pytest.approx(0.7, abs=0.02)
    alone = torch.zeros(2000, 20, dtype=torch.bool)
    alone[:, 4] = True
    assert torch.equal(augment(x, alone, Augmentation(dropped_share=0.9), STREAMS, generator())[1], alone)


def test_a_stream_is_lost_by_whole_clips_and_never_one_that_is_always_there() -> None:
    x, there = clips(3000)
    found, _ = augment(x, there, Augmentation(stream_loss=0.4), STREAMS, generator())
    assert torch.equal(found[..., :5], x[..., :5])
    lost = (found[..., 5] != x[..., 5]).numpy()
    assert (lost.all(1) | ~lost.any(1)).all()
    assert lost.any(1).mean() == pytest.approx(0.4 * 2 / 3, abs=0.03), "a third has none to lose"
    assert augment(x, there, Augmentation(stream_loss=1.0), STREAMS[:1], generator())[0] is x
