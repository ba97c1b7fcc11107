"""Whole files, as bytes, for every reader of `tests/readers.py`: small, and of every form that it takes."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from extract.features import store
from heads.abaw import tasks
from heads.abaw.tasks import TASKS


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
        f"{line}\n" for line in [tasks.MTL_HEADER, *(f"{image},0.1,-0.2,4{',0' * 12}" for image in IMAGES)]
    ).encode()


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


def report() -> bytes:
    """A blend's report, as far as blend.compare looks at it."""
    counts = {"counts": [[COUNT, COUNT], *[[0.5, 0.25]] * 5]}
    counts |= {"counts_submitted": counts["counts"], "frames": COUNT, "filled": 0, "score": 0.5, "influence": None}
    videos = [{"video": name, "truth": "0" * 16, "labelled": COUNT, "group": i} | counts
              for i, name in enumerate(("one", "two"))]  # fmt: skip
    facts = {"task": "va", "metric": "mean CCC", "select": "tuned", "held_out": True, "k": 5, "kernel": "box",
             "weights": {"mlp": 1.0}, "submitted": 0.5, "interval": [0.25, 0.75]}  # fmt: skip
    return json.dumps(facts | {"videos": videos}).encode()
