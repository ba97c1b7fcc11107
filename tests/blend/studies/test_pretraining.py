"""The study of pre-training on a corpus of small pictures: it runs to its end, and scores what it says."""

import numpy as np
import pytest
import torch
from support import made_pictures

from blend.studies import pretraining
from extract import config as configs
from heads.config import Config

TINY = {
    "size": 32, "patch": 8, "width": 32, "depth": 1, "heads": 2, "decoder_width": 16, "decoder_depth": 1,
    "decoder_heads": 2, "epochs": 1, "batch": 8, "device": "'cpu'",
}  # fmt: skip


def test_quarters_are_means_of_their_patches_and_halves_share_a_middle_row():
    tokens = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1 + 49, 6)).astype(np.float32))

    class Encoder:
        num_prefix_tokens = 1

        def forward_features(self, pictures: torch.Tensor) -> torch.Tensor:
            return tokens

    found = pretraining.average_quarters(Encoder(), torch.zeros(2, 3, 8, 8)).reshape(2, 6, 2, 2)
    grid = tokens[:, 1:].reshape(2, 7, 7, 6)
    for i, rows in enumerate((slice(0, 4), slice(3, 7))):
        for j, columns in enumerate((slice(0, 4), slice(3, 7))):
            torch.testing.assert_close(found[:, :, i, j], grid[:, rows, columns].mean((1, 2)))


def test_a_line_has_the_gain_of_pre_training_with_its_error():
    line = pretraining.summarise(np.array([[0.1, 0.3, 0.5, 0.6], [0.2, 0.3, 0.5, 0.6], [0.3, 0.6, 0.5, 0.6]]))
    assert line["random"] == pytest.approx(0.2) and line["fine_tuned"] == pytest.approx(0.5)
    assert line["gain"] == pytest.approx(0.2) and line["se"] == pytest.approx(0.1 / np.sqrt(3))


@pytest.mark.slow
def test_every_task_is_scored_before_after_and_fine_tuned(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECT_HEADS_THREADS", "1")
    monkeypatch.setattr(pretraining, "STRIDE", 1)
    monkeypatch.setattr(pretraining, "RECIPE", pretraining.RECIPE | {"stride": 1, "dev_stride": 1})
    sets = [f"pretrain.m.{key}={value}" for key, value in TINY.items()]
    config = configs.load(Config, made_pictures.write_corpus(tmp_path, train=5, frames=16), sets)
    before = torch.get_num_threads()
    result = pretraining.main(config, "m", tmp_path / "w", 2, 3, 2)
    torch.set_num_threads(before)
    assert set(result) == {"au", "expr", "va"} and len(list((tmp_path / "w" / "faces").glob("*/*.png"))) == 6
    for line in result.values():
        scores = np.array(line["by_seed"])
        assert scores.shape == (2, 4) and np.isfinite(scores).all() and (scores > 0.3).all(), "colours tell the class"
        assert line["gain"] == pytest.approx(line["pretrained"] - line["random"])
        gains = scores[:, 1] - scores[:, 0]
        assert line["se"] == pytest.approx(abs(gains[0] - gains[1]) / 2)
