"""Every reader of files that users give, with whole files to start from. A new reader is a row of `table`.

`tests/test_every_reader.py` gives each the same nasty values, `tests/test_fuzz.py` changed bytes; the former also finds
functions that open files and stand in no row.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blend import apply, compare
from blend.config import Config
from blend.pool import external
from blend.predict import features as video_features
from blend.predict.trained_blends import TrainedBlend
from blend.report.html import index
from blend.report.run_report import load_report
from blend.submission import check as submission_check
from blend.submission import folder as submission_folder
from extract import config as configs
from extract.engines import graph
from extract.engines.openvino_engine import OpenVinoEngine
from extract.faces import boxes
from extract.faces.people import Sighting
from extract.features import store
from extract.media import images, timestamps, video
from extract.media import sound as audio_read
from extract.networks import checkpoints
from extract.networks.registry import Network
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from extract.tabular import importer
from extract.tabular.formats import Choice
from heads import config as head_configs
from heads.abaw import annotations as annotation_files
from heads.abaw import class_folders, test_list
from heads.abaw import multitask as multitask_file
from heads.abaw.tasks import STILLS, SUBTASKS, TASKS
from heads.data import feature_file, people, resemblance
from heads.tune import plan as tune_plan
from support import seeds

REFUSALS = (InputError, images.UnreadablePicture, video.BrokenVideo, audio_read.Unreadable)
"""What says in one line why a file is not taken: those of single pictures and videos are gathered and named."""


@dataclass(frozen=True)
class Reader:
    """A function of a file's path, and a file that it takes."""

    name: str
    file: str
    """What the file is called: readers go by it, too."""
    seed: bytes = field(repr=False)
    read: Callable[[Path], Any] = field(repr=False)
    opens: str = ""
    """The functions that open files and are looked at here, by module and name."""


def sighting(frames: int) -> Sighting:
    """Somebody who is seen in so many frames."""
    values = np.ones(frames, np.float32)
    return Sighting(np.arange(1, frames + 1), np.ones((frames, 4)), values, values, values)


def exhaust(values: Iterable[Any]) -> int:
    """How many there are, at most 200; no two are in memory."""
    count = 0
    for _ in values:
        if (count := count + 1) == 200:
            break
    return count


def import_table(path: Path, *patterns: str, frame: str | None = None) -> Any:
    """A table, imported into a work folder of its own."""
    with tempfile.TemporaryDirectory() as work:
        return importer.main(path, "theirs", Path(work), Choice(columns=patterns, frame=frame))


def finished_report(path: Path) -> Any:
    """A report that its folder calls finished, whatever it holds."""
    run_folder.finish(path.parent, "", {}, [path.name])
    return load_report(path.parent)


def listed_report(path: Path) -> Any:
    """The same in the index of its work folder, which leaves it out where it is odd."""
    run_folder.finish(path.parent, "mark", {}, [path.name])
    if (entry := index.read(path.parent, "au")) is None:
        raise InputError(f"{path}: left out")
    return entry


RUN_REPORT = (
    b'{"task": "va", "metric": "mean CCC", "heads": {"a": 0.5}, "equal": 0.5, "submitted": 0.5, "expected": null, '
    b'"interval": [0.25, 0.75]}'
)
WAY = {"tuned": 0.5, "cross_fitted": 0.5, "optimism": 0.0, "interval": [0.25, 0.75], "kernel": "box", "k": 5}
LISTED_REPORT = json.dumps(
    {"task": "au", "metric": "mean F1", "select": "tuned", "cross_fitted": {"pooled": 0.5}, "expected": 0.5,
     "interval": [0.25, 0.75], "submitted": 0.5,
     "baselines": {"a": WAY | {"score": 0.5}, "equal": WAY | {"score": 0.5}},
     "ways": {"tuned": WAY, "cross_fitted": WAY}, "test": {"score": 0.5}, "made": {"date": "2026-11-30T12:00:00"}}
).encode()  # fmt: skip
TOML = b"""
[corpus]
name = "mine"
frames = ["crops", "more"]
people_pattern = '^\\d+'
[corpus.va]
train = "train"
val = "val"
[features]
networks = ["demo_enet", "mine"]
[networks.mine]
path = "mine.onnx"
size = 32
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
embedding = "pooled"
[heads.va]
use = ["mlp"]
[heads.va.mlp]
hidden = 8
[blend.va]
k = 5
weights = {mlp = 1.0}
"""
HEAD = b'family = "mlp"\ninputs = ["embedding"]\nnetworks = "each"\nhidden = 16\nepochs = 2\n'
SPACE = b'family = "mlp"\nhidden = ["tune", "int", 4, 64]\nrate = ["tune", "loguniform", 0.001, 0.1]\n'
RECORD = json.dumps(
    {
        "features": {"engine": "openvino"},
        "networks": {"mine": {"path": "mine.onnx", "size": 8, "mean": [0.5], "std": [0.5], "embedding": "x"}},
        "given": ["--set", "a=b"],
    }
).encode()
VA = {"task": "va", "outputs": ["valence", "arousal"], "heads": ["mlp", "lama"], "kernel": "box", "k": [5, 3],
      "weights": {"mlp": 0.5, "lama": [0.25, 0.5]}, "scale": [1.0, 1.0], "shift": [0.0, 0.1],
      "prior": {"valence": 0.1, "arousal": 0.2}, "test_from": "train"}  # fmt: skip
NETWORK = Network("mine", 8, (0.5,) * 3, (0.5,) * 3, "rgb", None, None, False, "mine.onnx", embedding="pooled",
                  logits="output", classifier=False)  # fmt: skip


def params(path: Path) -> Any:
    """A blend is applied as soon as it is read."""
    from blend.decision import combine
    from blend.pool import pool
    from blend.pool.pool import as_row
    from heads.data.predictions import Predictions

    blend = apply.read(path)
    task = TASKS[blend.params.task]
    frames, row = np.arange(1, 9, dtype=np.int32), as_row(blend.prior, task)
    some = Predictions(task.outputs, {"one": (frames, np.tile(row, (8, 1)).astype(np.float32))}, path)
    listed = test_list.from_lengths({"one": 8}, task, path)
    found = pool.for_test(task, dict.fromkeys(blend.params.heads, some), listed, row)
    return combine.combine(found, blend.params)


def beside(name: str, content: bytes, read: Callable[[Path, Path], Any]) -> Callable[[Path], Any]:
    """A reader of two files: the other one is whole."""

    def both(path: Path) -> Any:
        other = path.with_name(name)
        other.write_bytes(content)
        return read(path, other)

    return both


def space(path: Path) -> Any:
    config = configs.load(Config, configs.DEFAULT)
    return tune_plan.make(config, "va", None, path, None), tune_plan.make(config, "va", "mlp", path, None)


def run_network(path: Path) -> Any:
    """A network, made ready to run by both engines."""
    from extract.engines.onnxruntime_engine import OnnxRuntimeEngine

    return graph.expose(path, NETWORK), OnnxRuntimeEngine(path, NETWORK, device="cpu"), OpenVinoEngine(path, NETWORK)


def load_override(path: Path) -> Any:
    text = path.read_bytes().decode(errors="replace")
    return configs.load(Config, configs.DEFAULT, [text])


def list_of_a_folder(path: Path, second: Path) -> Any:
    folder = path.with_name("folder")
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").write_bytes(seeds.annotation("va"))
    return submission_folder.check(folder, second, path, "va")


def text_in_a_folder(path: Path, second: Path) -> Any:
    folder = path.with_name("folder")
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").unlink(missing_ok=True)
    (folder / "one.txt").symlink_to(path.absolute())
    return submission_folder.check(folder, second, None, None)


def on_record(path: Path) -> Any:
    """What a blend says of its networks."""
    nothing: Any = None
    blend = TrainedBlend(path.parent, path.parent, TASKS["va"], nothing, {}, ("demo_enet",))
    found = video_features.settings([blend], None)
    return configs.check(configs.Config, {"corpus": {"name": "video"}, **found}, path)


def stored_features(path: Path) -> Any:
    """A feature file as each of its users reads it."""
    store.read_about(path)
    frames, widths = feature_file.index(path)
    feature_file.class_names(path)
    resemblance._sampled(path)
    _, found = feature_file.read(path, widths, "net")
    for kind, values in found.items():
        feature_file.check_values(values, kind, "net", "x", frames, path)
    return store.read(path)


def tables() -> list[Reader]:
    """Imported tables, of people, and of predictions."""
    unit, frames, count = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0], seeds.FRAMES, seeds.COUNT
    openface = {"frame": frames, "face_id": [0] * count, "timestamp": unit, "confidence": [0.98] * count,
                "success": [1] * count, "AU01_r": unit, "AU12_r": unit}  # fmt: skip
    pyfeat = {"frame": [0, 1, 2] * 2, "FaceScore": unit, "AU01": unit, "AU12": unit, "approx_time": ["00:00"] * count,
              "input": ["a/one.mp4"] * 3 + ["a/two.mp4"] * 3}  # fmt: skip
    photos = pyfeat | {"input": [f"a/one/{frame:05d}.jpg" for frame in frames], "frame": [0] * count}
    libreface = {"frame_time_in_ms": unit, "frame_idx": frames, "pitch": unit, "au_1": unit,
                 "facial_expression": ["Sad"] * count}  # fmt: skip
    other = {"video": ["one"] * 3 + ["two"] * 3, "frame": [1, 2, 3] * 2, "x": unit, "y": [1] * count}
    who = {"video": ["one", "two", "ë"], "person": ["p", "p", "q"]}
    opens = (
        "extract.media.tables.read_columns extract.media.tables.check_text extract.media.tables._place "
        "extract.media.tables._batches "
        "extract.media.tables.open_parquet extract.media.tables._open_csv"
    )
    rows = []
    for form, make in (("csv", seeds.csv_of), ("parquet", seeds.parquet_of)):
        rows += [
            Reader(f"{name} {form}", f"one.{form}", make(columns), functools.partial(import_table, frame=frame), opens)
            for name, columns, frame in (("openface", openface, None), ("pyfeat", pyfeat, None),
                                         ("photos", photos, None), ("libreface", libreface, "frame_idx"),
                                         ("table", other, None))
        ]  # fmt: skip
        rows.append(Reader(f"people {form}", f"people.{form}", make(who), people.read_table,
                           "heads.data.people._of_csv"))  # fmt: skip
        rows += [
            Reader(f"{task} predictions {form}", f"val.{form}", make(seeds.scores(task)),
                   functools.partial(external.read_external, task=TASKS[task]),
                   "blend.pool.external.read_external blend.pool.external._read_text "
                   "heads.data.predictions._columns")
            for task in TASKS
        ]  # fmt: skip
    return rows


def texts() -> list[Reader]:
    """Annotations, lists, submissions, settings."""
    rows = []
    for task, values in (("au", ",".join("0" * 12)), ("expr", "3"), ("va", "0.5,-0.5")):
        of = TASKS[task]
        rows += [
            Reader(f"{task} annotation", "one.txt", seeds.annotation(task),
                   functools.partial(annotation_files.read, task=of),
                   "heads.abaw.annotations.read"),
            Reader(f"{task} list", "list.txt", seeds.official(task, values), functools.partial(test_list.read, task=of),
                   "heads.abaw.test_list.read"),
            Reader(f"{task} submission as predictions", "val.txt", seeds.official(task, values),
                   functools.partial(external.read_external, task=of)),
            Reader(f"{task} template", "list.txt", seeds.official(task, values), submission_check.read_template,
                   "blend.submission.check.read_template"),
            Reader(f"{task} submission", "own.txt", seeds.official(task, values),
                   beside("list.txt", seeds.official(task, ""),
                          lambda path, other: submission_check.list_problems(path,
                          submission_check.read_template(other))),
                   "blend.submission.check.list_problems"),
        ]  # fmt: skip
    mtl_task = SUBTASKS["mtl/va"]
    blend = {key: value for key, value in VA.items() if key != "prior"}
    return [
        *rows,
        Reader("mtl annotation", "mtl.txt", seeds.mtl(), functools.partial(multitask_file.read, task=mtl_task),
               "heads.abaw.multitask._table"),
        Reader("mtl list", "mtl.txt", seeds.mtl(), functools.partial(test_list.read, task=mtl_task)),
        Reader("mtl pictures", "mtl.txt", seeds.mtl(), functools.partial(multitask_file.read_list, task=mtl_task)),
        Reader("picture list", "list.txt", b"image,expression\n0.jpg,\n1.jpg,\n",
               functools.partial(test_list.read, task=STILLS["lsd"]), "extract.media.picture_sets.read_list"),
        Reader("picture labels", "list.txt", b"image,expression\n0.jpg,5\n1.jpg,0\n",
               functools.partial(class_folders.read_labels, task=STILLS["lsd"])),
        Reader("lengths", "lengths.csv", b"video,frames\none,6\n", beside("videos.txt", b"one\n", list_of_a_folder),
               "blend.submission.folder._table"),
        Reader("text of a folder", "any.txt", seeds.annotation("va"),
               beside("videos.txt", b"one,6\n", text_in_a_folder),
               "blend.submission.folder._video blend.submission.folder._kind"),
        Reader("config", "mine.toml", TOML, functools.partial(configs.load, Config), "extract.config_file.read"),
        Reader("--set", "text", b"blend.va.k=5", load_override),
        Reader("head", "mine.toml", HEAD, lambda path: head_configs.read_head(str(path), "va", {}),
               "heads.config.read_raw"),
        Reader("search space", "mine.toml", SPACE, space, "heads.tune.plan.make"),
        Reader("params", "params.json", json.dumps(VA).encode(), params, "blend.apply.read"),
        Reader("prior", "prior.json", json.dumps(VA["prior"]).encode(),
               beside("params.json", json.dumps(blend).encode(), lambda path, other: apply.read(other, path))),
        Reader("networks on record", "networks.json", RECORD, on_record, "blend.predict.features._on_record"),
        Reader("report", "report.json", seeds.report(),
               beside("other.json", seeds.report(), lambda path, other: compare.main([other, path], 10, 0)),
               "blend.compare.read"),
        Reader("finished report", "report.json", RUN_REPORT, finished_report, "blend.report.run_report.load_report"),
        Reader("listed report", "report.json", LISTED_REPORT, listed_report, "blend.report.html.index.read"),
    ]  # fmt: skip


def binaries() -> list[Reader]:
    """Features, networks, pictures, videos."""
    rows = [
        Reader("features", "x.safetensors", seeds.feature_file(True), stored_features,
               "extract.features.store.read extract.features.store.read_about "
               "heads.data.feature_file._opened heads.data.resemblance._sampled"),
        Reader("features without hashes", "x.safetensors", seeds.feature_file(False), stored_features),
        Reader("boxes", "x.boxes.parquet", seeds.whole_file(
            lambda path: boxes.write(path, [{1: np.ones(4)}, {1: np.ones(4), 2: np.ones(4)}]), "x.parquet"),
               functools.partial(boxes.read, people=2), "extract.faces.boxes._read"),
        Reader("boxes of people by number", "x.boxes.parquet", seeds.whole_file(
            lambda path: boxes.write_people(path, [sighting(2), sighting(3)]), "x.parquet"), boxes.read_people),
        Reader("network", "mine.onnx", seeds.network(), run_network,
               "extract.engines.graph.expose extract.networks.checkpoints.explain_unreadable "
               "extract.engines.check.takes_whole_numbers"),
        *(Reader(f"{name} checkpoint", "mine.pt", seeds.checkpoint(zipped),
                 functools.partial(checkpoints.read_state, trusted=True), "extract.networks.checkpoints._read")
          for name, zipped in (("zip", True), ("legacy", False))),
        *(Reader(format, "00001.jpg", seeds.picture(format, **options),
                 functools.partial(images.read, size=16, colour=colour),
                 "extract.media.images.decode extract.media.images.open_picture")
          for format, colour, options in (("JPEG", "rgb", {"quality": 95}), ("PNG", "bgr", {}), ("GIF", "grey", {}),
                                          ("WEBP", "rgb", {}), ("TIFF", "rgb", {}), ("BMP", "rgb", {}),
                                          ("PPM", "rgb", {}))),
    ]  # fmt: skip
    for name, made in (("mp4", seeds.clip("mp4", "mpeg4", "aac")), ("avi", seeds.clip("avi", "mjpeg")),
                       ("mkv", seeds.clip("matroska", "mpeg4", "pcm_s16le")),
                       ("ts", seeds.clip("mpegts", "mpeg2video")),
                       ("gif", seeds.clip("gif", "gif"))):  # fmt: skip
        rows.append(Reader(f"{name} film", f"x.{name}", made, film,
                           "extract.media.video.read_frame_count extract.media.video.read "
                           "extract.media.video._read_with_opencv extract.media.containers.cut_short "
                           "extract.media.timestamps.read_frame_times "
                           "extract.media.timestamps.picture_times extract.media.timestamps.decode_times "
                "extract.media.streams.open_container"))  # fmt: skip
    rows += [
        Reader(f"{name} sound", f"x.{name}", seeds.clip(name, "mpeg4", sound),
               lambda path: exhaust(audio_read.blocks(path, 16_000, audio_read.Tally())), "extract.media.sound.blocks")
        for name, sound in (("mp4", "aac"), ("avi", "pcm_s16le"))
    ]  # fmt: skip
    return rows


def film(path: Path) -> int:
    """A video as the commands read it."""
    assert video.read_frame_count(path) >= 0
    timestamps.read_frame_times(path, 8)
    timestamps.picture_times(path)
    return exhaust(video.read(path))


@functools.cache
def table() -> tuple[Reader, ...]:
    """All readers."""
    rows = (*texts(), *tables(), *binaries())
    assert len({row.name for row in rows}) == len(rows)
    return rows
