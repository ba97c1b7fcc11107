"""What several studies' tests begin with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blend.studies.ablation import Data
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import predictions
from heads.data.predictions import Predictions

VA = TASKS["va"]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Five videos of validation and two of test, and a head that says the truth with noise."""
    rng, truth = np.random.default_rng(0), {}
    for part, videos in (("val", 5), ("test", 2)):
        truth[part], found = {}, {}
        for v in range(videos):
            values = np.tanh(np.cumsum(0.3 * rng.normal(size=(80, 2)), 0)).astype(np.float32)
            noisy = np.clip(values + 0.4 * rng.normal(size=values.shape), -1, 1).astype(np.float32)
            truth[part][f"{part}{v}"] = Annotation(f"{part}{v}", values, rng.random(80) < 0.9)
            found[f"{part}{v}"] = (np.arange(1, 81, dtype=np.int32), noisy)
        predictions.write(tmp_path / f"{part}.parquet", Predictions(VA.outputs, found))
    return Data(tmp_path, VA, (), truth | {"train": truth["val"]})
