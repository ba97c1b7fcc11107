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


@pytest.mark.slow
def test_every_task_is_scored_before_and_after(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECT_HEADS_THREADS", "1")
    monkeypatch.setattr(pretraining, "STRIDE", 1)
    sets = [f"pretrain.m.{key}={value}" for key, value in TINY.items()]
    config = configs.load(Config, made_pictures.write_corpus(tmp_path, train=5, frames=16), sets)
    before = torch.get_num_threads()
    result = pretraining.main(config, "m", tmp_path / "w", 2, 3, 2)
    torch.set_num_threads(before)
    assert set(result) == {"au", "expr", "va"} and len(list((tmp_path / "w" / "faces").glob("*/*.png"))) == 6
    for line in result.values():
        scores = np.array(line["by_seed"])
        assert scores.shape == (2, 2) and np.isfinite(scores).all() and (scores > 0.3).all(), "colours tell the class"
        assert line["gain"] == pytest.approx(line["pretrained"] - line["random"])
        gains = scores[:, 1] - scores[:, 0]
        assert line["se"] == pytest.approx(abs(gains[0] - gains[1]) / 2)
