"""The rows that all peers learn from and predict, as files that any Python can read: one table with all columns.

Columns are those that our own heads choose theirs from: of all networks the embeddings, logits, valence and arousal,
and how all but the embeddings move over time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from blend.studies import ablation
from blend.studies.ablation import Data
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads.base.head import HeadSettings, row_weights
from heads.base.scaling import BlockScales, block_scales
from heads.data import arrays, splits, table
from heads.data.people import People
from heads.data.predictions import Predictions
from heads.data.table import Source
from heads.train import fit
from heads.train.provenance import code_mark

HEAD = "linear_all"
"""The standard head that reads the most columns."""
COLUMNS: dict[str, Any] = {
    "inputs": ["embedding?", "logits?", "va?", "table?"],
    "temporal": [{"of": "logits?"}, {"of": "va?"}, {"of": "table?"}],
}
"""What it reads here, of all tasks."""
BALANCE = {"expr": 0.5}
"""The power of the rows' weights by task, as the standard mlp heads have it; 1 elsewhere."""
MOST_ROWS = 50_000
"""Rows that are learnt from at most, evenly spaced: neighbours are nearly equal."""
PARTS = ("val", "test")


def find_sources(data: Data) -> tuple[HeadSettings, tuple[Source, ...]]:
    """The columns. Raises InputError where no network has any of them."""
    settings = heads_config.read_head(HEAD, data.task.name, COLUMNS)
    has = {network: heads_config.kinds(data.work, network) for network in data.networks}
    specs = heads_config.plan_specs(HEAD, settings, has)
    if not specs:
        raise InputError(f"features.networks = {list(data.networks)}: none has features that a peer can learn from")
    return settings, specs[0].sources


def facts(data: Data) -> dict[str, Any]:
    """What decides the rows: features, annotations and who is in which video, and code."""
    known = ablation.facts(data)
    code = [code_mark(), run_folder.file_hash(Path(__file__))]
    return known | {"code": code, "people": data.people, "columns": COLUMNS, "most": MOST_ROWS}


def write(data: Data, seed: int, folder: Path) -> str:
    """Write `train.npz`, of each part with videos `<part>.npy`, and `dev/<seed>/dev.npy` into the folder unless they
    are there; returns the fingerprint of what the rows, which all seeds share, are made of. The dev slice is the one
    that our heads of this seed choose on.
    """
    about, dev = facts(data), folder / "dev" / str(seed)
    mark = run_folder.fingerprint(about)
    cut = run_folder.fingerprint([mark, seed])
    there, is_cut = run_folder.is_done(folder, mark), run_folder.is_done(dev, cut)
    if there and is_cut:
        return mark
    settings, sources = find_sources(data)
    train = data.annotations["train"]
    people = People(splits.name_groups(train, data.people))
    prepared = fit.prepare_train(data.work, sources, settings, train, data.task, seed, people=people)
    if not there:
        _write_rows(data, prepared, folder, mark, about)
    if not is_cut:
        run_folder.begin(dev)
        with run_folder.write_whole(dev / "dev.npy") as temporary, open(temporary, "wb") as handle:
            np.save(handle, _dev_slice(prepared, data))
        run_folder.finish(dev, cut, {"rows": mark, "seed": seed}, ["dev.npy"])
    return mark


def _write_rows(data: Data, prepared: fit.TrainData, folder: Path, mark: str, about: dict[str, Any]) -> None:
    run_folder.begin(folder)
    arrays.write_npz(folder / "train.npz", _train_arrays(prepared, data))
    model = fit.as_model(prepared, fit.create_head(prepared))
    files = ["train.npz"]
    for part in PARTS:
        if not data.annotations[part]:
            continue
        rows = model.rows(data.work, list(data.annotations[part]))
        files.append(f"{part}.npy")
        with run_folder.write_whole(folder / files[-1]) as temporary:
            out = open_memmap(temporary, "w+", np.float32, (len(rows), rows.width))
            at = 0
            for chunk in rows.chunks():
                out[at : (at := at + len(chunk))] = chunk
            out.flush()
    run_folder.finish(folder, mark, about, files)


def _dev_slice(prepared: fit.TrainData, data: Data) -> NDArray[np.bool_]:
    """Which of the rows that are learnt from are of the dev slice's videos."""
    _, held = fit.cut_rows(prepared.labelled_rows, data.task, prepared.seed, 1)
    dev = np.zeros(len(prepared.labelled_rows), bool)
    dev[held] = True
    return dev[table.space_evenly(len(dev), MOST_ROWS)]


def _train_arrays(prepared: fit.TrainData, data: Data) -> dict[str, NDArray[Any]]:
    """What `worker.Train` is made of, but the dev slice."""
    kept = prepared.labelled_rows.take(table.space_evenly(len(prepared.labelled_rows), MOST_ROWS))
    rows = kept.rows
    of = rows.group if rows.group is not None else splits.recordings(rows.videos)
    return {
        "labels": np.array(data.task.labels),
        "outputs": np.array(len(data.task.outputs)),
        "x": rows.batch(),
        "y": kept.truth,
        "weight": row_weights(kept.truth, data.task, BALANCE.get(data.task.name, 1.0)),
        "group": of[rows.video],
        "scale": block_scales(rows, BlockScales()),
    }


def as_predictions(data: Data, part: str, scores: NDArray[np.float32]) -> Predictions:
    """Scores of a part's rows, in the order of its file, as a head's predictions. Raises InputError where they are of
    another number of rows.
    """
    there = table.frames(data.work, find_sources(data)[1], data.annotations[part])
    ends = np.cumsum([0, *map(len, there.values())])
    if scores.shape != (ends[-1], len(data.task.outputs)):
        expected = (int(ends[-1]), len(data.task.outputs))
        raise InputError(f"{part}: a peer's scores have the shape {scores.shape}, expected {expected}")
    spans = zip(there.items(), ends[:-1], ends[1:], strict=True)
    return Predictions(data.task.outputs, {video: (frames, scores[a:b]) for (video, frames), a, b in spans})
