"""Every reader of files that users give, with whole files to start from. A new reader is a row of `table`.

`tests/test_every_reader.py` gives each the same nasty values, `tests/test_fuzz.py` changed bytes; the former also finds
functions that open files and stand in no row.
"""

from __future__ import annotations

import functools
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blend import apply, check, check_folder, compare, others, predict_networks
from blend.config import Config
from blend.predict_blends import Trained
from extract import (
    audio_read,
    audio_times,
    boxes,
    checkpoints,
    engine,
    frame_times,
    pictures,
    store,
    tabular,
    video,
)
from extract import config as configs
from extract.columns import Choice
from extract.errors import InputError
from extract.networks import Network
from heads import config as head_configs
from heads import features, labels, mtl_file, people, resemblance, testlist, tune_plan
from heads.tasks import SUBTASKS, TASKS

REFUSALS = (InputError, pictures.UnreadablePicture, video.BrokenVideo, audio_read.Unreadable)
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


def exhaust(values: Iterable[Any]) -> int:
    """How many there are, at most 200; no two are in memory."""
    count = 0
    for _ in values:
        if (count := count + 1) == 200:
            break
    return count


def imported(path: Path, *patterns: str, frame: str | None = None) -> Any:
    """A table, imported into a work folder of its own."""
    with tempfile.TemporaryDirectory() as work:
        return tabular.main(path, "theirs", Path(work), Choice(columns=patterns, frame=frame))


def parquet_of(columns: dict[str, Any]) -> bytes:
    """A Parquet file of these columns."""
    import pyarrow as pa
    from pyarrow import parquet

    with io.BytesIO() as file:
        parquet.write_table(pa.table(columns), file)
        return file.getvalue()


def csv_of(columns: dict[str, list[Any]]) -> bytes:
    """The same as text."""
    rows = zip(*columns.values(), strict=True)
    return "".join(",".join(map(str, row)) + "\n" for row in [list(columns), *rows]).encode()


def whole_file(write: Callable[[Path], object], name: str) -> bytes:
    """What a function writes into a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


COUNT = 6
FRAMES = list(range(1, COUNT + 1))
IMAGES = [f"{name}/{frame:05d}.jpg" for name in ("one", "two_left") for frame in FRAMES]


def annotation(task: str) -> bytes:
    rows = {"au": "0,1,0,0,-1,1,0,0,0,1,0,1", "expr": "7", "va": "-0.25,1"}
    return (TASKS[task].header + f"\n{rows[task]}" * COUNT + "\n").encode()


def scores(task: str) -> dict[str, list[Any]]:
    values = {output: [0.25, 0.5, 0.125, 1.0, 0.0, 0.75] for output in TASKS[task].outputs}
    return {"video": ["one"] * 3 + ["ë"] * 3, "frame": [1, 2, 4, 1, 2, 3], **values}


def official(task: str, values: str) -> bytes:
    return "".join(f"{line}\n" for line in [",".join(("image_location", *TASKS[task].outputs)),
                                            *(f"{image},{values}" for image in IMAGES)]).encode()  # fmt: skip


def mtl() -> bytes:
    return "".join(
        f"{line}\n" for line in [mtl_file.HEADER, *(f"{image},0.1,-0.2,4{',0' * 12}" for image in IMAGES)]
    ).encode()


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
    from blend import combine, pool
    from blend.ingredients import as_row
    from heads.predictions import Predictions

    blend = apply.read(path)
    task = TASKS[blend.params.task]
    frames, row = np.arange(1, 9, dtype=np.int32), as_row(blend.prior, task)
    some = Predictions(task.outputs, {"one": (frames, np.tile(row, (8, 1)).astype(np.float32))}, path)
    listed = testlist.from_lengths({"one": 8}, task, path)
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


def overridden(path: Path) -> Any:
    text = path.read_bytes().decode(errors="replace")
    return configs.load(Config, configs.DEFAULT, [text])


def list_of_a_folder(path: Path, other: Path) -> Any:
    folder = path.with_name("folder")
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").write_bytes(annotation("va"))
    return check_folder.check(folder, other, path, "va")


def text_in_a_folder(path: Path, other: Path) -> Any:
    folder = path.with_name("folder")
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").unlink(missing_ok=True)
    (folder / "one.txt").symlink_to(path.absolute())
    return check_folder.check(folder, other, None, None)


def on_record(path: Path) -> Any:
    """What a blend says of its networks."""
    nothing: Any = None
    blend = Trained(path.parent, path.parent, TASKS["va"], nothing, {}, ("demo_enet",))
    found = predict_networks.settings([blend], None)
    return configs.check(configs.Config, {"corpus": {"name": "video"}, **found}, path)


def picture(format: str, **options: Any) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, format, **options)
        return file.getvalue()


FORMATS = {"gif": "rgb8", "mjpeg": "yuvj420p"}


def clip(format: str, codec: str, sound: str = "") -> bytes:
    """A second of noise."""
    import av

    rng = np.random.default_rng(0)
    with io.BytesIO() as file:
        with av.open(file, "w", format=format) as container:
            stream = container.add_stream(codec, rate=8)
            stream.width, stream.height, stream.pix_fmt = 48, 32, FORMATS.get(codec, "yuv420p")
            heard = container.add_stream(sound, rate=16_000) if sound else None
            for _ in range(8):
                frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (32, 48, 3), np.uint8), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if heard is not None:
                samples = av.AudioFrame.from_ndarray(rng.integers(-9, 9, (1, 8000), np.int16), "s16", "mono")
                samples.sample_rate = 16_000
                container.mux([*heard.encode(samples), *heard.encode()])
        return file.getvalue()


def network() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(4, 3, 3, 3)), "gemm": rng.normal(size=(2, 4)), "bias": rng.normal(size=2)}
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["maps"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
        helper.make_node("Gemm", ["pooled", "gemm", "bias"], ["output"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    return bytes(model.SerializeToString())


def checkpoint(zipped: bool) -> bytes:
    import torch

    with io.BytesIO() as file:
        state = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.ones(2)}
        torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=zipped)
        return file.getvalue()


def feature_file(sealed: bool) -> bytes:
    """Features of a video; not sealed: as versions before wrote them, without hashes."""
    arrays = {"frame": np.array(FRAMES, np.int32), "embedding": np.ones((COUNT, 3), np.float16),
              "logits": np.ones((COUNT, 2), np.float32)}  # fmt: skip
    about = {"mark": "m", "outputs": json.dumps([None, "a", "b", None, ["x", "y"]]), "unreadable": "[]"}
    if sealed:
        features = store.VideoFeatures(**arrays)
        return whole_file(lambda path: store.write(path, features, about), "x.safetensors")
    from safetensors.numpy import save

    return save(arrays, {"about": json.dumps(about)})


def stored_features(path: Path) -> Any:
    """A feature file as each of its users reads it."""
    store.about(path)
    frames, widths = features.index(path)
    features.class_names(path)
    resemblance._sampled(path)
    _, found = features.read(path, widths, "net")
    for kind, values in found.items():
        features.checked(values, kind, "net", "x", frames, path)
    return store.read(path)


def report() -> bytes:
    """A blend's report, as far as blend.compare looks at it."""
    counts = {"counts": [[COUNT, COUNT], *[[0.5, 0.25]] * 5]}
    counts |= {"counts_submitted": counts["counts"]}
    videos = [{"video": name, "truth": "0" * 16, "labelled": COUNT, "group": i} | counts
              for i, name in enumerate(("one", "two"))]  # fmt: skip
    facts = {"task": "va", "metric": "mean CCC", "select": "tuned", "held_out": True, "k": 5, "kernel": "box",
             "weights": {"mlp": 1.0}, "submitted": 0.5, "interval": [0.25, 0.75]}  # fmt: skip
    return json.dumps(facts | {"videos": videos}).encode()


def tables() -> list[Reader]:
    """Imported tables, of people, and of predictions."""
    unit = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    openface = {"frame": FRAMES, "face_id": [0] * COUNT, "timestamp": unit, "confidence": [0.98] * COUNT,
                "success": [1] * COUNT, "AU01_r": unit, "AU12_r": unit}  # fmt: skip
    pyfeat = {"frame": [0, 1, 2] * 2, "FaceScore": unit, "AU01": unit, "AU12": unit, "approx_time": ["00:00"] * COUNT,
              "input": ["a/one.mp4"] * 3 + ["a/two.mp4"] * 3}  # fmt: skip
    photos = pyfeat | {"input": [f"a/one/{frame:05d}.jpg" for frame in FRAMES], "frame": [0] * COUNT}
    libreface = {"frame_time_in_ms": unit, "frame_idx": FRAMES, "pitch": unit, "au_1": unit,
                 "facial_expression": ["Sad"] * COUNT}  # fmt: skip
    other = {"video": ["one"] * 3 + ["two"] * 3, "frame": [1, 2, 3] * 2, "x": unit, "y": [1] * COUNT}
    who = {"video": ["one", "two", "ë"], "person": ["p", "p", "q"]}
    opens = (
        "extract.tables.look extract.tables.check_text extract.tables._place extract.tables._batches "
        "extract.tables.open_parquet extract.tables._open_csv"
    )
    rows = []
    for form, make in (("csv", csv_of), ("parquet", parquet_of)):
        rows += [
            Reader(f"{name} {form}", f"one.{form}", make(columns), functools.partial(imported, frame=frame), opens)
            for name, columns, frame in (("openface", openface, None), ("pyfeat", pyfeat, None),
                                         ("photos", photos, None), ("libreface", libreface, "frame_idx"),
                                         ("table", other, None))
        ]  # fmt: skip
        rows.append(Reader(f"people {form}", f"people.{form}", make(who), people.read_table,
                           "heads.people._of_csv"))  # fmt: skip
        rows += [
            Reader(f"{task} predictions {form}", f"val.{form}", make(scores(task)),
                   functools.partial(others.read, task=TASKS[task]),
                   "blend.others.read blend.others._read_text blend.others._parse heads.predictions._columns")
            for task in TASKS
        ]  # fmt: skip
    return rows


def texts() -> list[Reader]:
    """Annotations, lists, submissions, settings."""
    rows = []
    for task, values in (("au", ",".join("0" * 12)), ("expr", "3"), ("va", "0.5,-0.5")):
        of = TASKS[task]
        rows += [
            Reader(f"{task} annotation", "one.txt", annotation(task), functools.partial(labels.read, task=of),
                   "heads.labels.text_of heads.labels._parse"),
            Reader(f"{task} list", "list.txt", official(task, values), functools.partial(testlist.read, task=of),
                   "heads.testlist.read"),
            Reader(f"{task} submission as predictions", "val.txt", official(task, values),
                   functools.partial(others.read, task=of)),
            Reader(f"{task} template", "list.txt", official(task, values), check.read_template,
                   "blend.check.read_template"),
            Reader(f"{task} submission", "own.txt", official(task, values),
                   beside("list.txt", official(task, ""),
                          lambda path, other: check.problems(path, check.read_template(other))),
                   "blend.check.problems"),
        ]  # fmt: skip
    mtl_task = SUBTASKS["mtl/va"]
    blend = {key: value for key, value in VA.items() if key != "prior"}
    return [
        *rows,
        Reader("mtl annotation", "mtl.txt", mtl(), functools.partial(mtl_file.read, task=mtl_task),
               "heads.mtl_file._table"),
        Reader("mtl list", "mtl.txt", mtl(), functools.partial(testlist.read, task=mtl_task)),
        Reader("mtl pictures", "mtl.txt", mtl(), functools.partial(mtl_file.listed, task=mtl_task)),
        Reader("lengths", "lengths.csv", b"video,frames\none,6\n", beside("videos.txt", b"one\n", list_of_a_folder),
               "blend.check_folder._table"),
        Reader("text of a folder", "any.txt", annotation("va"), beside("videos.txt", b"one,6\n", text_in_a_folder),
               "blend.check_folder._video blend.check_folder._kind"),
        Reader("config", "mine.toml", TOML, functools.partial(configs.load, Config), "extract.config_file.read"),
        Reader("--set", "text", b"blend.va.k=5", overridden),
        Reader("head", "mine.toml", HEAD, lambda path: head_configs.read_head(str(path), "va", {}),
               "heads.config.read_raw"),
        Reader("search space", "mine.toml", SPACE, space, "heads.tune_plan.make"),
        Reader("params", "params.json", json.dumps(VA).encode(), params, "blend.apply.read"),
        Reader("prior", "prior.json", json.dumps(VA["prior"]).encode(),
               beside("params.json", json.dumps(blend).encode(), lambda path, other: apply.read(other, path))),
        Reader("networks on record", "networks.json", RECORD, on_record, "blend.predict_networks._on_record"),
        Reader("report", "report.json", report(),
               beside("other.json", report(), lambda path, other: compare.main([other, path], 10, 0)),
               "blend.compare.read"),
    ]  # fmt: skip


def binaries() -> list[Reader]:
    """Features, networks, pictures, videos."""
    find = functools.partial(engine.expose, network=NETWORK)
    rows = [
        Reader("features", "x.safetensors", feature_file(True), stored_features,
               "extract.store.read extract.store.about heads.features.read heads.features.index "
               "heads.resemblance._sampled"),
        Reader("features without hashes", "x.safetensors", feature_file(False), stored_features),
        Reader("boxes", "x.boxes.parquet", whole_file(
            lambda path: boxes.write(path, [{1: np.ones(4)}, {1: np.ones(4), 2: np.ones(4)}]), "x.parquet"),
               functools.partial(boxes.read, people=2), "extract.boxes.read"),
        Reader("network", "mine.onnx", network(), find, "extract.engine.expose extract.network_check.why_unreadable"),
        *(Reader(f"{name} checkpoint", "mine.pt", checkpoint(zipped),
                 functools.partial(checkpoints.read_state, trusted=True), "extract.checkpoints._read")
          for name, zipped in (("zip", True), ("legacy", False))),
        *(Reader(format, "00001.jpg", picture(format, **options),
                 functools.partial(pictures.read, size=16, colour=colour), "extract.pictures.decode")
          for format, colour, options in (("JPEG", "rgb", {"quality": 95}), ("PNG", "bgr", {}), ("GIF", "grey", {}),
                                          ("WEBP", "rgb", {}), ("TIFF", "rgb", {}), ("BMP", "rgb", {}),
                                          ("PPM", "rgb", {}))),
    ]  # fmt: skip
    for name, made in (("mp4", clip("mp4", "mpeg4", "aac")), ("avi", clip("avi", "mjpeg")),
                       ("mkv", clip("matroska", "mpeg4", "pcm_s16le")), ("ts", clip("mpegts", "mpeg2video")),
                       ("gif", clip("gif", "gif"))):  # fmt: skip
        rows.append(Reader(f"{name} film", f"x.{name}", made, film, "extract.video.stated_frames extract.video.read "
                           "extract.video._read_with_opencv extract.containers.cut_short extract.frame_times.of_file "
                           "extract.audio_times.picture_times extract.audio_times.decoded_times "
                "extract.streams.opened"))  # fmt: skip
    rows += [
        Reader(f"{name} sound", f"x.{name}", clip(name, "mpeg4", sound),
               lambda path: exhaust(audio_read.blocks(path, 16_000, audio_read.Heard())), "extract.audio_read.blocks")
        for name, sound in (("mp4", "aac"), ("avi", "pcm_s16le"))
    ]  # fmt: skip
    return rows


def film(path: Path) -> int:
    """A video as the commands read it."""
    assert video.stated_frames(path) >= 0
    frame_times.of_file(path, 8)
    audio_times.picture_times(path)
    return exhaust(video.read(path))


@functools.cache
def table() -> tuple[Reader, ...]:
    """All readers."""
    rows = (*texts(), *tables(), *binaries())
    assert len({row.name for row in rows}) == len(rows)
    return rows
