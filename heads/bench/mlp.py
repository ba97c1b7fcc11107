"""What `heads.bench` runs in processes of their own for the AU mlp and tabm: our epoch, and Keras's bare `model.fit`.

    python -m heads.bench.mlp ours|tabm|bare WORK

Ours is the mlp, 1280-128-12 by the published loss in batches of 512: a whole head as heads.run makes it, from the
feature store to validation's predictions, with one epoch at full size. tabm is likewise, with its defaults and one
epoch. Bare is the mlp from one float32 array in memory. The result is one JSON object on stdout.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.base import selection
from heads.bench.corpus import NETWORK
from heads.data import table
from heads.families.mlp import network as mlp_network
from heads.families.mlp.settings import MlpSettings
from heads.families.tabm.settings import TabmSettings
from heads.train import fit

BATCH = 512
MOST_BARE = 200_000
"""Rows of the bare array: 1 GB."""
BARE_EPOCHS = 4
"""The first one warms up and does not count."""
MIN_ROWS = 100_000
"""Rows to learn from before a rate means anything; a small corpus gets more epochs, and their median counts."""
TASK = TASKS["au"]
SOURCES = (table.Source(NETWORK, ("embedding",)),)
SETTINGS = MlpSettings(inputs=["embedding"], hidden=128, batch=BATCH, epochs=1, refit=False)
TABM = TabmSettings(inputs=["embedding"], epochs=1, refit=False)


def measure_head(work: Path, settings: MlpSettings | TabmSettings = SETTINGS) -> dict[str, Any]:
    """Rows/s of an epoch (without compiling and dev's scores), seconds of all, and validation's score."""
    began = time.perf_counter()
    train = read.read_folder(work / "annotations" / "train", TASK)
    prepared = fit.prepare_train(work, SOURCES, settings, train, TASK, thin=True)
    rows = rows_of_epoch(len(prepared.part.train), settings)
    epochs = 1 if settings is TABM else max(1, MIN_ROWS // rows)
    prepared = replace(prepared, settings=settings.model_copy(update={"epochs": epochs}))
    at: dict[str, NDArray[np.float64]] = {}

    def note(_done: float, what: str) -> None:
        at.setdefault(what, _clocks())

    model, facts, _ = fit.fit(prepared, prepared.part, 0, note)
    del prepared
    at[f"epoch {epochs + 1} of {epochs}"] = learnt = _clocks()
    names = [f"epoch {epoch} of {epochs}" for epoch in range(1, epochs + 2)]
    seconds, worked = np.median([at[f"{name}, dev"] - at[name] for name in names[:-1]], 0).tolist()
    look, _ = np.median([at[after] - at[f"{name}, dev"] for name, after in pairwise(names)], 0).tolist()
    val = read.read_folder(work / "annotations" / "val", TASK)
    result = model.predict_videos(work, val).videos
    truth = np.concatenate([val[video].values[frames - 1] for video, (frames, _) in result.items()])
    scores = np.concatenate([group for _, group in result.values()])
    return {
        "rows_per_second": rows / seconds,
        "rows_per_processor_second": rows / worked,
        "rows": rows,
        "epoch_seconds": seconds,
        "dev_seconds": look,
        "reading_seconds": float(at[names[0]][0]) - began,
        "predicting_seconds": time.perf_counter() - float(learnt[0]),
        "seconds": time.perf_counter() - began,
        "parameters": facts["parameters"],
        "val_score": TASK.score(truth, scores >= 0.5),
    }


def rows_of_epoch(rows: int, settings: MlpSettings | TabmSettings) -> int:
    """How many rows an epoch learns from: those that fill batches; of fewer rows than a batch, all."""
    rows = min(rows, getattr(settings, "epoch_rows", rows))
    return rows - rows % min(settings.batch, rows)


def _clocks() -> NDArray[np.float64]:
    """Seconds of the clock, and of processors in this process."""
    return np.array([time.perf_counter(), time.process_time()])


def measure_keras(work: Path) -> dict[str, Any]:
    """Rows/s of `model.fit` as anybody would call it, on all cores: the median of some epochs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"], os.environ["CUDA_VISIBLE_DEVICES"] = "tensorflow", "-1"
    import keras

    train = read.read_folder(work / "annotations" / "train", TASK)
    ends = np.cumsum([int(annotation.valid.sum()) for annotation in train.values()])
    videos = list(train)[: 1 + int(np.searchsorted(ends, MOST_BARE))]
    data = table.label_rows(table.load(work, SOURCES, videos), train, TASK)
    x, y = data.rows.batch(slice(0, MOST_BARE)), data.truth[:MOST_BARE].astype(np.float32)
    weights = selection.label_weights(data.truth, TASK, 1.0)
    del data
    model = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            keras.layers.Dense(SETTINGS.hidden, activation="relu"),
            keras.layers.Dense(len(TASK.outputs), activation="sigmoid"),
        ]
    )

    def loss(truth: Any, scores: Any) -> Any:
        return mlp_network.create_loss(TASK, truth, scores, mlp_network.weigh(TASK, truth, weights))

    at: list[float] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: at.append(time.perf_counter()))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    model.fit(x, y, batch_size=BATCH, epochs=BARE_EPOCHS, verbose=0, callbacks=[note])
    return {"rows_per_second": len(x) / statistics.median(np.diff(at)), "rows": len(x)}


if __name__ == "__main__":
    parts = {"ours": measure_head, "tabm": partial(measure_head, settings=TABM), "bare": measure_keras}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]))))
