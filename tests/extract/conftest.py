"""Small real parts for the extract tests: a network of EmotiEffNet's structure and a corpus of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image


def make_network(
    path: Path, *, outputs: int = 8, size: int = 32, width: int = 5, channels: int = 3, seed: int = 0
) -> dict[str, np.ndarray]:
    """Write conv -> relu -> mean -> Gemm as ONNX, named as EmotiEffNet's files are; give back its weights."""
    rng = np.random.default_rng(seed)
    weights = {
        "kernel": rng.normal(size=(width, channels, 3, 3)),
        "gemm": rng.normal(size=(outputs, width)),
        "bias": rng.normal(size=outputs),
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["maps"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "gemm", "bias"], ["output"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", channels, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return weights


@pytest.fixture
def network_file() -> Callable[..., dict[str, np.ndarray]]:
    """`network_file(path, outputs=8, ...)` writes a small network and returns its weights."""
    return make_network


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Three videos of random 40x40 pictures: 7 frames with a gap, 3 frames, none."""
    rng = np.random.default_rng(1)
    for video, numbers in {"a": [1, 2, 3, 6, 7, 8, 12], "b_left": [5, 6, 10000], "empty": []}.items():
        folder = tmp_path / "crops" / video
        folder.mkdir(parents=True)
        for number in numbers:
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{number:05d}.jpg", quality=95)
    return tmp_path / "crops"
