from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.base.head import FAMILIES, family
from heads.data import table
from heads.data.table import Source
from heads.train import fit, model
from heads.train import model as model_file
from heads.train.fit import TrainData
from heads.train.model import Model

Corpus = Any  # tests/heads/conftest.py
VA = TASKS["va"]
SOURCES = (Source("one", ("logits",), ("embedding",)), Source("two", ("va",), ("embedding",)))
TEMPORAL = [{"of": "embedding", "windows": [3], "components": 2}]


LIGHTGBM = {"family": "lightgbm", "inputs": ["logits?", "va?"], "trees": 5}


def fitted(
    corpus: Corpus, sources: tuple[Source, ...] = SOURCES, settings: dict[str, Any] = LIGHTGBM
) -> tuple[TrainData, Model]:
    raw = settings | {"temporal": TEMPORAL}
    annotations = read.read_folder(corpus.folder / "va" / "train", VA)
    checked = family(raw["family"]).Settings.model_validate(raw)
    prepared = fit.prepare_train(corpus.work, sources, checked, annotations, VA)
    return prepared, fit.fit(prepared, prepared.part, 0)[0]


def test_a_saved_model_needs_nothing_else_to_predict_the_same_to_the_bit(tiny: Corpus, tmp_path: Path) -> None:
    prepared, one = fitted(tiny)
    one.save(tmp_path)
    loaded = Model.load(tmp_path)
    assert loaded.sources == SOURCES and loaded.columns == tuple(prepared.labelled_rows.rows.columns)
    assert loaded.head.settings == prepared.settings and loaded.head.task is VA
    before, after = (m.predict_videos(tiny.work, ["v1", "x0", "nobody"]) for m in (one, loaded))
    assert list(before.videos) == list(after.videos) == ["v1", "x0"] and after.outputs == VA.outputs
    for video, (frames, scores) in before.videos.items():
        np.testing.assert_array_equal(after.videos[video][0], frames)
        np.testing.assert_array_equal(after.videos[video][1], scores)
    assert loaded.predict_videos(tiny.work, []).videos == {}


def test_some_videos_at_a_time_are_predicted_as_all_at_once(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one = fitted(tiny)
    whole = one.predict_videos(tiny.work, tiny.videos["train"])
    sizes: list[int] = []
    load = table.load
    monkeypatch.setattr(table, "load", lambda *args: sizes.append(len(rows := load(*args))) or rows)
    monkeypatch.setattr(model, "GROUP", 50)
    pieces = one.predict_videos(tiny.work, tiny.videos["train"])
    assert sizes == [72, 72, 72], "36 frames a video"
    for video, (frames, scores) in whole.videos.items():
        np.testing.assert_array_equal(pieces.videos[video][0], frames)
        np.testing.assert_array_equal(pieces.videos[video][1], scores)


def test_columns_that_were_not_learnt_are_refused_by_name(tiny: Corpus) -> None:
    _, one = fitted(tiny)
    plain = table.load(tiny.work, [Source("one", ("logits",)), Source("two", ("va",))], ["v0"])
    with pytest.raises(InputError, match=r"learnt from 22 columns, these rows have 10: 12 are missing \(first: one\.e"):
        one.predict(plain)
    other = fitted(tiny, (Source("two", ("logits",), ("embedding",)), SOURCES[1]))[1].rows(tiny.work, ["v0"])
    said = r"14 are missing \(first: one\.logits\.0\); 8 are not among them \(first: two\.logits\.0\)"
    with pytest.raises(InputError, match=said) as error:
        one.predict(other)
    assert str(error.value).endswith("give it the features of one, two")
    with pytest.raises(InputError, match="they are in another order"):
        one.predict(fitted(tiny, SOURCES[::-1])[1].rows(tiny.work, ["v0"]))
    assert one.predict(table.load(tiny.work, SOURCES, ["nobody"])).shape == (0, 2), "no rows have no columns"


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


def bombs(whole: bytes, bomb: Bomb) -> Iterator[bytes]:
    """Pickles in place of a file: bare, as an array, and of an archive (numpy's, Keras's) each member, as both."""
    with io.BytesIO() as array:
        np.save(array, np.array([bomb], object), allow_pickle=True)
        bad = [pickle.dumps(bomb, 0), pickle.dumps(bomb, 4), array.getvalue()]
    yield from bad
    if not zipfile.is_zipfile(io.BytesIO(whole)):
        return
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        for content, victim in ((content, name) for content in bad for name in archive.namelist()):
            with io.BytesIO() as file:
                with zipfile.ZipFile(file, "w") as out:
                    for name in archive.namelist():
                        out.writestr(name, content if name == victim else archive.read(name))
                yield file.getvalue()


ENCODER = {"inputs": ["logits?", "va?"], "width": 8, "feedforward": 8, "shapes": [[1, 2]], "epochs": 2, "min_steps": 4}
EVERY: dict[str, dict[str, Any]] = {
    "mlp": {"inputs": ["logits?", "va?"], "hidden": 4, "epochs": 2},
    "lightgbm": LIGHTGBM,
    "linear": {"inputs": ["logits?", "va?"], "penalties": [0.1]},
    "tabm": {"inputs": ["logits?", "va?"], "members": 3, "hidden": 4, "epochs": 2},
    "lama": {"inputs": ["logits?", "va?"], "trees": 4, "cv": 2, "penalties": [0.1]},
    "pretrained": {"inputs": ["logits?", "va?"], "other": "mlp", "mlp": {"hidden": 4, "epochs": 2}},
    "sequence": ENCODER,
    "fusion": ENCODER | {"members": 2},
}


@pytest.mark.parametrize("name", EVERY)
def test_a_changed_file_of_any_familys_model_is_refused_and_no_pickle_in_its_place_runs(
    tiny: Corpus, tmp_path: Path, name: str
) -> None:
    assert set(EVERY) == set(FAMILIES)
    folder, exploded = tmp_path / "model", tmp_path / "exploded"
    folder.mkdir()
    fitted(tiny, settings={"family": name} | EVERY[name])[1].save(folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    run_folder.finish(folder, "mark", {}, files)
    expected = Model.load(folder).predict_videos(tiny.work, ["v0"]).videos["v0"][1]
    done = (folder / run_folder.DONE_FILE).read_bytes()
    assert len(files) >= 3, files
    for file in (*files, "provenance.json"):
        whole = (folder / file).read_bytes()
        middle = len(whole) // 2
        flip = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        for content in (flip, whole[:middle], b""):
            (folder / file).write_bytes(content)
            with pytest.raises(model.DamagedModel, match=file):
                Model.load(folder)
        for content in bombs(whole, Bomb(exploded)):
            (folder / file).write_bytes(content)
            run_folder.finish(folder, "mark", {}, files)  # whoever means harm makes the hashes fit
            with contextlib.suppress(Exception):  # a library's own, for what is no such file
                Model.load(folder)
            assert not exploded.exists(), file
        (folder / file).write_bytes(whole)
        (folder / run_folder.DONE_FILE).write_bytes(done)
    np.testing.assert_array_equal(Model.load(folder).predict_videos(tiny.work, ["v0"]).videos["v0"][1], expected)
    pickle.loads(next(bombs(b"", Bomb(exploded))))
    assert exploded.exists(), "a bomb does what it should"


def test_scores_that_are_not_finite_are_a_bug(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, one = fitted(tiny)
    monkeypatch.setattr(one.head, "predict", lambda rows: np.full((len(rows), 2), np.nan, np.float32))
    with pytest.raises(RuntimeError, match="lightgbm predicted scores that are not finite"):
        one.predict(prepared.labelled_rows.rows)


@pytest.mark.parametrize("error", [ImportError("libgomp.so.1"), OSError(24, "Too many open files")])
def test_what_a_machine_lacks_is_no_damage_of_a_model(monkeypatch, tmp_path, error):
    """Else the advice would be to learn it anew, for hours."""

    def read(folder):
        raise error

    monkeypatch.setattr(model_file, "check_files", lambda folder: None)
    monkeypatch.setattr(model_file, "_read", read)
    with pytest.raises(type(error)) as raised:
        Model.load(tmp_path)
    assert raised.value is error
    error = MemoryError("Unable to allocate 9 GiB")
    with pytest.raises(InputError, match=r": too little memory to read the model \(Unable .*\): free some") as said:
        Model.load(tmp_path)
    assert not isinstance(said.value, model_file.DamagedModel)
