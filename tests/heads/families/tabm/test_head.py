from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from extract.runtime.errors import InputError
from heads import config
from heads.abaw.tasks import TASKS
from heads.base import selection, threads
from heads.data.table import Block, LabelledRows, Rows
from heads.families.sequence import training as sequence_training
from heads.families.tabm import network as tabm_network
from heads.families.tabm import training as tabm_training
from heads.families.tabm.head import Tabm
from heads.families.tabm.settings import TabmSettings

ROOT = Path(__file__).parents[4]
AU = TASKS["au"]
TINY = {"inputs": ["embedding"], "members": 3, "hidden": 8, "epochs": 4, "batch": 16, "learning_rate": 0.01}


def settings(**given: Any) -> TabmSettings:
    return TabmSettings.model_validate({**TINY, **given})


def labelled(videos: int = 6, frames: int = 30, width: int = 5, seed: int = 0) -> LabelledRows:
    rng, n = np.random.default_rng(seed), videos * frames
    x = rng.normal(size=(n, width)).astype(np.float16)
    rows = Rows(
        tuple(f"v{i}" for i in range(videos)),
        np.repeat(np.arange(videos, dtype=np.int32), frames),
        np.tile(np.arange(1, frames + 1, dtype=np.int32), videos),
        (Block("n", "embedding", x),),
        np.arange(n),
    )
    return LabelledRows(rows, (x[:, np.arange(12) % width] > 0.3).astype(np.uint8))


def fitted(data: LabelledRows, **given: Any) -> tuple[Tabm, dict[str, Any]]:
    head = Tabm(AU, settings(**given))
    return head, head.fit(data.take(data.rows.video < 4), data.take(data.rows.video >= 4), 3)


def training(data: LabelledRows, epochs: int = 4, **given: Any) -> tabm_training.Training:
    sequence_training.quiet_torch()
    own, width = settings(**given), data.rows.width
    moments = np.zeros(width, np.float32), np.ones(width, np.float32)
    return tabm_training.Training(AU, own, tabm_network.build(width, own, 12, moments, 0), data, epochs, 1)


def learnt() -> list[torch.Tensor]:
    one = training(labelled())
    one.epoch()
    return one.parameters


def test_predictions_are_the_mean_of_the_members_probabilities() -> None:
    data = labelled(1, tabm_training.PIECE + 200)
    head, _ = fitted(labelled())
    with torch.no_grad():
        outputs = head.model(torch.from_numpy(data.rows.batch())).numpy().astype(np.float64)
    np.testing.assert_allclose(head.predict(data.rows), (1 / (1 + np.exp(-outputs))).mean(1), atol=1e-6)


def test_the_best_epoch_comes_back_and_is_learnt_again_alike() -> None:
    data = labelled()
    train, dev = data.take(data.rows.video < 4), data.take(data.rows.video >= 4)
    head, facts = fitted(data)
    assert 1 <= facts["best_epoch"] <= facts["epochs"] == 4 and facts["steps_per_epoch"] == 7
    assert facts["selection_score"] == pytest.approx(selection.selection_score(AU, dev.truth, head.predict(dev.rows)))
    scores = head.predict(dev.rows)
    head.refit(train, 3)
    np.testing.assert_array_equal(head.predict(dev.rows), scores)
    head.refit(data, 3)
    assert np.abs(head.predict(dev.rows) - scores).max() > 1e-3


def test_an_epoch_of_many_rows_learns_from_some_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    batch = Rows.batch

    def noting(self: Rows, index: Any = slice(None)) -> np.ndarray:
        seen.append(np.arange(len(self))[index])
        return batch(self, index)

    one = training(labelled(), epoch_rows=70)
    monkeypatch.setattr(Rows, "batch", noting)
    one.epoch()
    first = np.concatenate(seen)
    one.epoch()
    second = np.concatenate(seen)[len(first) :]
    assert len(first) == len(second) == one.steps * 16 == 64 and len(np.unique(first)) == 64
    assert set(first) != set(second) and one.step == one.total // 2 == 8


def test_small_corpora_get_more_epochs_and_tiny_ones_a_batch() -> None:
    assert fitted(labelled(), min_steps=30)[1]["epochs"] == 5
    facts = fitted(labelled(frames=2), min_steps=7)[1]
    assert facts["steps_per_epoch"] == 1 and facts["epochs"] == 7


def test_an_epoch_of_fewer_rows_than_a_batch_learns_from_no_more() -> None:
    one = training(labelled(), epoch_rows=10)
    one.epoch()
    assert one.batch == 10 and one.steps == one.step == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_a_gpu_learns_what_the_cpu_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = []
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(sequence_training, "device", lambda device=device: torch.device(device))
        head, _ = fitted(labelled(), dropout=0.0)
        scores.append(head.predict(labelled().rows))
    np.testing.assert_allclose(*scores, atol=0.02)


def test_shares_of_a_batch_learn_what_the_whole_batch_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for worth in (1, 2**40):
        monkeypatch.setattr(tabm_training, "WORTH_SHARING", worth)
        one = training(labelled(), dropout=0.0, batch=180)
        assert one.shares == (2 if worth == 1 else 1)
        one.epoch()
        gradients.append([p.grad for p in one.parameters])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_two_threads_change_no_bit(tmp_path: Path) -> None:
    code = f"""
import sys, torch; sys.path.insert(0, {str(Path(__file__).parent)!r})
from heads.families.tabm import training; training.WORTH_SHARING = 1
import test_head as here
head, _ = here.fitted(here.labelled())
torch.save([*head.model.parameters(), torch.from_numpy(head.predict(here.labelled(seed=1).rows))], sys.argv[1])
"""
    for count in ("1", "2"):
        environment = os.environ | threads.environment() | {threads.VARIABLE: count, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / count)], env=environment, check=True)
    first, second = (torch.load(tmp_path / count) for count in ("1", "2"))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_whole_matrix_is_never_a_float32_one() -> None:
    data = labelled(20, 10_000, 64)
    tracemalloc.start()
    fitted(data, hidden=4, members=2, epochs=1, epoch_rows=5_000, batch=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data) * 64 * 4 / 2


def test_logits_beside_an_embedding_count_more() -> None:
    data = labelled()
    block = Block("n", "logits", np.asarray(data.rows.blocks[0].values, np.float32)[:, :2].copy())
    head, _ = fitted(LabelledRows(replace(data.rows, blocks=(*data.rows.blocks, block)), data.truth), epochs=1)
    deviation = head.model.deviation.numpy()
    np.testing.assert_allclose(deviation[:2] / deviation[5:], 8, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"members": 0}, "members"), ({"blocks": 0}, "blocks"), ({"batch": 1}, "batch"), ({"clip": 3}, "clip")],
)
def test_settings_that_do_not_fit(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    import tomli_w

    path = tmp_path / "own.toml"
    path.write_text(tomli_w.dumps({"family": "tabm", **TINY, **given}))
    with pytest.raises(InputError, match=said):
        config.read_head(str(path), "au", {})


def test_arrays_that_are_of_another_shape_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    head, _ = fitted(labelled(), epochs=1)
    head.save(tmp_path)
    with pytest.raises(ValueError, match=r"'layers.0.weight' has the shape \(8, 5\), expected \(1000000, 5\)"):
        Tabm(AU, settings(hidden=1_000_000)).load(tmp_path)
    other = Tabm(AU, settings())
    other.load(tmp_path)
    with pytest.raises(ValueError, match=r"of 5 columns, model\.json has 6"):
        other.check(["a"] * 6)
