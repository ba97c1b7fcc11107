"""Every file of a finished run, damaged, or with a pickle in its place that would run code: noticed, and nothing runs.

Heads learn in this process, and the report is not drawn: what is looked at is what is read and believed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pickle
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from support.corpora import conftest_of

from blend import apply, compare, run
from blend.config import Config
from blend.pool import external
from blend.predict import features as video_features
from blend.predict import trained_blends
from blend.submission import check as submission_check
from extract import config as configs
from extract.features import store
from extract.media import images, tables
from extract.runtime import run_folder
from extract.runtime.errors import InputError, WorkError
from extract.tabular import importer
from heads.abaw import annotations as annotation_files
from heads.abaw import test_list
from heads.abaw.tasks import TASKS
from heads.data import people
from heads.train import job as training_job
from heads.train import processes

ROOT = Path(__file__).parents[2]
VA = TASKS["va"]
UNUSED = ("job.json", "log.txt", ".lock")
"""Files that no command reads: one head's orders of the past and its log; locks are empty."""


SETTINGS = """
[heads.va]
use = ["lightgbm"]
[heads.va.lightgbm]
trees = 4
folds = 2
refit_val = true
networks = ["two"]
[blend.va]
trials = 13
fold_trials = 1
folds = 2
select_folds = 2
draws = 100
"""


class Run:
    """A run of task va, and how to bring it up to date."""

    def __init__(self, folder: Path) -> None:
        self.corpus = conftest_of("heads").make_corpus(folder)
        self.work, self.toml = self.corpus.work, self.corpus.toml(SETTINGS, '["two"]')
        self.blend = self.work / "blend" / "va"
        self.again()
        (self.head,) = (path for path in (self.work / "heads" / "va").iterdir() if path.is_dir())
        self.whole = folder / "whole"
        shutil.copytree(self.work, self.whole)

    def again(self) -> None:
        """`python -m blend.run`; raises what the command says in one line."""
        run.main(configs.load(Config, self.toml), "va", self.work, submissions=2)

    def restore(self) -> None:
        """Everything as it was when it was finished."""
        shutil.rmtree(self.work)
        shutil.copytree(self.whole, self.work)

    def files(self) -> list[Path]:
        """All files that a command reads, relative to the work folder: of features one."""
        found = [path.relative_to(self.whole) for path in sorted(self.whole.rglob("*")) if path.is_file()]
        features = [path for path in found if path.parts[0] == "features"]
        return [features[0], *(path for path in found if path not in features and path.name not in UNUSED)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    def learn(jobs: list[training_job.Job], what: str) -> None:
        for job in jobs:
            run_folder.begin(job.folder)
            job.write(job.folder / "job.json")
            training_job.main(training_job.Job.read(job.folder / "job.json"), lambda done, note: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "run_jobs", learn)
        patch.setattr("blend.report.html.page.render", lambda *_: "<html>")
        patch.setattr("blend.report.html.timeline.make", lambda *_: None)
        yield Run(tmp_path_factory.mktemp("run"))


def flipped(content: bytes) -> bytes:
    bent = bytearray(content)
    bent[len(bent) // 2] ^= 1
    return bytes(bent)


DAMAGES = {"flip": flipped, "cut": lambda content: content[: len(content) // 2], "empty": lambda content: b""}
MADE_ANEW = (
    "booster_0.txt",
    "params.json",
    "prior.json",
    "networks.json",
    "val.parquet",
    "test_trainval.parquet",
    "index.html",
)
"""Kinds of files for which the whole command runs; the others go the same way."""


def test_damage_to_any_file_is_noticed_by_the_next_command(finished: Run) -> None:
    files = finished.files()
    assert len({path.name for path in files}) >= 20, files
    for number, path in enumerate(files):
        damage = list(DAMAGES)[number % len(DAMAGES)]
        place = finished.work / path
        place.write_bytes(DAMAGES[damage](place.read_bytes()))
        if path.parts[0] == "features":
            with pytest.raises(InputError, match=re.escape(str(place))):
                store.read(place)
        elif path.name == "study.db":
            continue  # of a finished folder nobody reads it; see tests/blend/test_study.py
        elif path.name in MADE_ANEW:
            finished.again()
            assert place.read_bytes() == (finished.whole / path).read_bytes(), (path, damage)
            shutil.copytree(finished.whole, finished.work, dirs_exist_ok=True)
        else:
            folder = finished.blend if path.parts[0] == "blend" else finished.head
            folders = [folder] if folder == finished.blend else [folder, folder / "model"]
            found = [file for one in folders if (file := run_folder.damage(one)) is not None]
            assert place.resolve() in {file.resolve() for file in found} or path.name == "DONE", (path, damage, found)
        shutil.copy(finished.whole / path, place)
    finished.restore()


def test_commands_that_read_one_file_of_a_finished_folder_notice_every_damage(finished: Run) -> None:
    template = submission_check.read_template(finished.corpus.folder / "va" / "test.txt")

    def believe_submission(path: Path) -> None:
        if found := submission_check.list_problems(path, template):
            raise InputError(f"{path}: {found}")

    readers: dict[Path, Any] = {
        finished.blend / "report.json": compare.read,
        finished.blend / "params.json": apply.read,
        finished.blend / "submission.txt": believe_submission,
        finished.blend / "networks.json": lambda path: video_features.settings(
            trained_blends.find([path.parent]), None
        ),
        **{path: lambda path: external.read_external(path, VA) for path in finished.head.glob("*.parquet")},
    }
    for path in sorted((finished.blend / "submissions").iterdir()):
        readers[path] = apply.read if path.suffix == ".json" else believe_submission
    readers |= {path.parent / ".." / "submissions" / path.name: lambda path: external.read_external(path, VA)
                for path in (finished.blend / "submissions").glob("*.txt")}  # fmt: skip
    assert len(readers) >= 14
    for path, read in readers.items():
        whole = path.read_bytes()
        with contextlib.suppress(InputError):  # the made-up networks' config is not known to any command
            read(path)
        changed = [damage(whole) for damage in DAMAGES.values()]
        for at in np.random.default_rng(0).integers(0, len(whole), 12).tolist():
            changed.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        for content in changed:
            path.write_bytes(content)
            with pytest.raises(InputError, match=re.escape(path.name)):
                read(path)
        path.write_bytes(whole)
    assert run_folder.damage(finished.blend) is None and run_folder.damage(finished.head) is None


def test_every_damage_to_a_model_is_refused_before_a_library_reads_it(finished: Run) -> None:
    for path in sorted((finished.head / "model").iterdir()):
        whole = path.read_bytes()
        for damage in DAMAGES.values():
            path.write_bytes(damage(whole))
            with pytest.raises(InputError, match=r"model") as raised:
                trained_blends.find([finished.blend])[0].models  # noqa: B018
            assert str(path) in str(raised.value) or path.name == "DONE"
            assert f"python -m blend.run --task va --work {finished.work} --config {finished.toml}" in str(raised.value)
        path.write_bytes(whole)
    finished.again()
    assert trained_blends.find([finished.blend])[0].models


def test_features_that_changed_are_named_and_the_advice_mends_them(finished: Run) -> None:
    path = next((finished.work / "features" / "two").glob("t*.safetensors"))
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    end = 8 + length + json.loads(whole[8 : 8 + length])["logits"]["data_offsets"][1]
    path.write_bytes(whole[: end - 1] + bytes([whole[end - 1] ^ 0x80]) + whole[end:])  # a sign; metadata as they were
    (finished.head / "DONE").unlink()
    shutil.rmtree(finished.head / "model")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: damaged feature file .*delete it and run the same"):
        finished.again()
    path.write_bytes(whole)  # as extract makes them anew
    finished.again()
    for name in ("submission.txt", "params.json"):
        assert (finished.blend / name).read_bytes() == (finished.whole / "blend" / "va" / name).read_bytes()
    finished.restore()


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


def bombs(mark: Path) -> list[bytes]:
    """A pickle as text and as bytes, and arrays of objects in numpy's own file."""
    import io

    found = [pickle.dumps(Bomb(mark), protocol) for protocol in (0, pickle.HIGHEST_PROTOCOL)]
    with io.BytesIO() as array, io.BytesIO() as file:
        np.save(array, np.array([Bomb(mark)], object), allow_pickle=True)
        with zipfile.ZipFile(file, "w") as archive:
            for name in ("coefficients", "intercept", "embedding", "mean"):
                archive.writestr(f"{name}.npy", array.getvalue())
        return [*found, file.getvalue()]


def tried(call: Any, *arguments: Any) -> None:
    """A command's reader: what it refuses, it refuses in a line of its own or its library's."""
    with contextlib.suppress(InputError, ValueError, images.UnreadablePicture):
        call(*arguments)


def test_a_pickle_in_the_place_of_any_file_runs_nothing(finished: Run, tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    with contextlib.suppress(FileExistsError):
        pickle.loads(bombs(mark)[0])
    assert mark.exists(), "a bomb does what it should"
    mark.rmdir()
    for number, bomb in enumerate(bombs(mark)):
        for path in finished.files():
            place = finished.work / path
            place.write_bytes(bomb)
            if path.parts[0] == "features":
                tried(store.read, place)
            elif path.parts[:3] == ("heads", "va", finished.head.name):
                model = place.parent if place.parent.name.startswith("model") else finished.head / "model"
                if path.name != "DONE" and model.name == "model":  # whoever means harm makes the hashes fit
                    run_folder.finish(model, "mark", {}, [file.name for file in model.iterdir() if file.name != "DONE"])
                tried(lambda: trained_blends.find([finished.blend])[0].models)
                tried(training_job.Model.load, model)
                tried(external.read_external, place, VA)
            else:
                tried(lambda: trained_blends.find([finished.blend]))
                tried(apply.read, place)
            assert not mark.exists(), path
            for part in ("heads", "blend"):
                shutil.copytree(finished.whole / part, finished.work / part, dirs_exist_ok=True)
            shutil.copy(finished.whole / path, place)
        for part in ("heads", "blend"):  # all at once, and the main command
            if number == 0:
                for file in (finished.work / part).rglob("*"):
                    if file.is_file() and file.name != ".lock":
                        file.write_bytes(bomb)
                finished.again()
                assert not mark.exists() and run_folder.damage(finished.blend) is None
        for name in ("x.txt", "x.csv", "x.parquet", "x.toml", "x.jpg", "x.json"):
            (tmp_path / name).write_bytes(bomb)
            for call, *more in (
                (annotation_files.read, VA),
                (test_list.read, VA),
                (external.read_external, VA),
                (tables.read_columns,),
                (apply.read,),
            ):
                tried(call, tmp_path / name, *more)
            tried(images.read, tmp_path / name, 8, "rgb")
            tried(lambda name=name: configs.load(Config, tmp_path / name))
            assert not mark.exists(), name
    finished.restore()


def test_a_pickle_in_a_tables_metadata_runs_nothing(tmp_path: Path) -> None:
    mark, rng = tmp_path / "exploded", np.random.default_rng(0)
    columns = {"video": ["a"] * 9, "frame": range(1, 10), **{name: rng.uniform(-1, 1, 9) for name in VA.outputs}}
    for number, bomb in enumerate(bombs(mark)):
        kinds = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": bomb}
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        fields = [field.with_metadata(kinds if field.name in VA.outputs else {}) for field in table.schema]
        schema = pa.schema(fields, {b"pandas": bomb, b"ARROW:schema": bomb})
        path = tmp_path / f"table-{number}.parquet"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Arrow says that it will not read a pickle
            parquet.write_table(table.cast(schema), path)
            for call, *more in ((external.read_external, VA), (tables.read_columns,), (people.read_table,)):
                tried(call, path, *more)
            tried(importer.main, path, f"table-{number}", tmp_path / "work")
        assert not mark.exists(), number


def put(path: Path, content: bytes) -> None:
    """A file of a model, whose hashes are then made to fit: whoever means harm does so."""
    path.write_bytes(content)
    run_folder.finish(path.parent, "mark", {}, [file.name for file in path.parent.iterdir() if file.name != "DONE"])


def test_a_hostile_model_whose_hashes_fit_runs_no_code_and_is_one_line(finished: Run, tmp_path: Path) -> None:
    mark, model = tmp_path / "exploded", finished.head / "model"
    call = f"__import__('os').mkdir({str(mark)!r})"
    booster = (model / "booster_0.txt").read_bytes()
    about = (model / "model.json").read_bytes()
    files = {
        "booster_0.txt": [booster.replace(b"left_child=", b"left_child=77777 "), b"tree\n" + call.encode(), b""],
        "constants.json": [b"[" * 100_000, json.dumps({"outputs": call, "constants": {}}).encode(), b"null"],
        "temporal.json": [json.dumps([{"of": call, "windows": [1]}]).encode(), b"{" * 100_000],
        "model.json": [
            about.replace(b'"lightgbm"', json.dumps(f"os:{call}").encode()),  # a family is no module to be imported
            about.replace(b'"va"', json.dumps(call).encode()),
            b'{"a":' * 100_000,
        ],
    }
    for name, contents in files.items():
        for content in contents:
            put(model / name, content)
            with pytest.raises(InputError, match=re.escape(str(model))) as raised:
                trained_blends.find([finished.blend])[0].models  # noqa: B018
            assert not mark.exists() and "\n" not in str(raised.value), (name, content[:40])
            shutil.copytree(finished.whole / "heads", finished.work / "heads", dirs_exist_ok=True)
    finished.restore()


def test_a_blend_of_another_task_and_a_test_list_do_not_take_a_model_that_does_not_fit(finished: Run) -> None:
    found = trained_blends.find([finished.blend])[0]
    with pytest.raises(
        InputError, match=r"model: is of task 'va', expected 'au': python -m blend.run .* makes it anew"
    ):
        dataclasses.replace(found, task=TASKS["au"]).models  # noqa: B018
    model = finished.head / "model"
    about = json.loads((model / "model.json").read_text())
    mark = run_folder.results(model)[0]
    names = [name for name in run_folder.results(model)[1] if not name.startswith("..")]
    (model / "model.json").write_text(json.dumps(about | {"columns": about["columns"][:1]}))
    run_folder.finish(model, mark, {}, names)
    (finished.head / "DONE").unlink()
    with pytest.raises(
        InputError, match=rf"{re.escape(str(model))}: .*delete {re.escape(str(model))} and run the same"
    ):
        training_job.main(training_job.Job.read(finished.head / "job.json"), lambda done, note: None)
    finished.restore()


def test_a_keras_network_or_a_lama_part_with_code_in_it_is_not_made(tmp_path: Path) -> None:
    """Keras heads are plain arrays, put into a network of our own: its own format, which may hold code, is not read."""
    from heads.base.head import family
    from heads.families.lama import scorer as lama_scorer

    mark = tmp_path / "exploded"
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": f"os.mkdir({str(mark)!r})"}}
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
        archive.writestr("model.weights.h5", b"")
        archive.writestr("metadata.json", "{}")
    (tmp_path / "mlp.json").write_text(json.dumps({"width": 4, "members": 1}))
    kind = family("mlp")
    head = kind(VA, kind.Settings(family="mlp", inputs=["embedding"]))
    with pytest.raises((KeyError, ValueError)):
        head.load(tmp_path)
    for part in (
        {"kind": "os.mkdir"},
        {"kind": "sums", "__reduce__": "os.mkdir"},
        {"kind": "linear", "link": str(mark)},
    ):
        with pytest.raises((KeyError, TypeError, ValueError)):
            lama_scorer.loads(json.dumps([{"share": 1.0, **part}]).encode())
    assert not mark.exists()


def test_a_finished_folder_on_a_disk_that_is_only_read_is_used(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "unlink", "rename", "replace", "symlink"):
        monkeypatch.setattr(os, name, read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    monkeypatch.setattr(run_folder.os, "access", lambda path, mode: mode != os.W_OK)
    finished.again()
    assert trained_blends.find([finished.blend])[0].models
    (finished.whole / "blend" / "va").joinpath("DONE").stat()
    finished.toml.write_text(finished.toml.read_text().replace("trials = 13", "trials = 14"))
    with pytest.raises(InputError, match="Read-only file system"):
        finished.again()
    finished.toml.write_text(finished.toml.read_text().replace("trials = 14", "trials = 13"))


def test_a_study_that_does_not_open_leaves_what_was_finished(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any) -> None:
        raise WorkError("study.db: another program holds it")

    text = finished.toml.read_text()
    finished.toml.write_text(text.replace("trials = 13", "trials = 15"))
    monkeypatch.setattr("blend.pipeline._search_alone", closed)
    with pytest.raises(WorkError):
        finished.again()
    assert run_folder.damage(finished.blend) is None
    finished.toml.write_text(text)
    finished.again()  # is there, without a search


FORBIDDEN = re.compile(
    r"\bpickle\.loads?\(|\bpickle\.Unpickler\(|joblib|cloudpickle|dill\b|allow_pickle=True|marshal\.|shelve\.|"
    r"yaml\.(unsafe_)?load\(|(?<![\w.])eval\(|(?<![\w.])exec\(|load_model\(|read_pickle|torch\.jit\.load|load_learner"
)


def test_nothing_of_the_project_calls_what_could_run_a_files_code() -> None:
    for package in ("extract", "heads", "blend"):
        for path in (ROOT / package).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                code = line.split("#")[0]
                assert not FORBIDDEN.search(code) or "`" in code, f"{path}:{number}: {line}"
                assert "torch.load(" not in code or path.name == "checkpoints.py", f"{path}:{number}: {line}"
