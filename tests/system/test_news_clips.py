"""Somebody else's per-frame table as features: real clips, described by py-feat, from the reference material."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from extract import config
from extract.tabular import importer
from extract.tabular.formats import Choice
from heads import run
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.data import predictions

TABLE = Path(__file__).parents[3] / "shared" / "data" / "news_clips" / "features.csv"
CONFIG = """
[corpus]
name = "news"
[corpus.va]
train = "train"
val = "val"
[features]
networks = ["news"]
[heads.va]
use = ["mlp"]
"""


def annotate(folder: Path, table: pd.DataFrame) -> None:
    """py-feat's valence and arousal as official annotation files; frames not in the table are not annotated."""
    folder.mkdir()
    for video, rows in table.groupby("video"):
        values = np.full((rows.frame.max() + 1, 2), -5.0)
        values[rows.frame] = rows[["valence", "arousal"]].clip(-1, 1)
        lines = [f"{valence:.5f},{arousal:.5f}" for valence, arousal in values]
        (folder / f"{video}.txt").write_text("\n".join(["valence,arousal", *lines]) + "\n")


@pytest.mark.slow
@pytest.mark.skipif(not TABLE.exists(), reason="the reference clips are not here")
def test_a_head_on_imported_action_units_predicts_held_out_valence_better_than_the_mean(tmp_path):
    importer.main(TABLE, "news", tmp_path / "work", Choice(logits=("AU*",)))
    table = pd.read_csv(TABLE, dtype={"video": str})
    held_out = sorted(table.video.unique())[::3]
    annotate(tmp_path / "train", table[~table.video.isin(held_out)])
    annotate(tmp_path / "val", table[table.video.isin(held_out)])
    (tmp_path / "news.toml").write_text(CONFIG)
    folders = run.main(config.load(Config, tmp_path / "news.toml"), "va", tmp_path / "work")
    [folder] = folders.values()
    found = predictions.read(folder / "val.parquet", TASKS["va"])
    truth, predicted = [], []
    for video, (frames, scores) in found.videos.items():
        by_frame = table[table.video == video].set_index("frame").valence
        truth.extend(by_frame[frames - 1])
        predicted.extend(scores[:, 0])
    mean = table[~table.video.isin(held_out)].valence.mean()
    error = np.mean((np.array(predicted) - truth) ** 2)
    assert len(truth) == table.video.isin(held_out).sum()
    assert error < 0.8 * np.mean((mean - np.array(truth)) ** 2)
    assert np.corrcoef(truth, predicted)[0, 1] > 0.5
