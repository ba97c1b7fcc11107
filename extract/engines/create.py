"""Which engine runs a network: torch on CUDA, OpenVINO on CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from extract.engines.openvino_engine import OpenVinoEngine
from extract.networks.registry import Network
from extract.runtime.process import thread_limit

if TYPE_CHECKING:
    from extract.engines.torch_engine import TorchEngine


E = TypeVar("E", "OpenVinoEngine", "TorchEngine")


def create(kind: str, path: Path, network: Network, precision: str) -> OpenVinoEngine | TorchEngine:
    """The engine that the config asks for: "openvino", "torch" (on CUDA if there is one, else on CPU), or "auto".

    "auto" is torch where there is CUDA and torch has the network's operators, else OpenVINO. Warns where bf16 was
    asked for and the hardware has none. Raises InputError as the engines do.
    """
    if kind != "openvino" and (kind == "torch" or _has_cuda()):
        from extract.engines.onnx_module import UnsupportedOperator
        from extract.engines.torch_engine import TorchEngine

        try:
            return _remarked(TorchEngine(path, network, precision))
        except UnsupportedOperator as error:
            if kind == "torch":
                raise
            print(f"warning: {error}; so it does now, without the GPU", file=sys.stderr)
    return _remarked(OpenVinoEngine(path, network, precision, thread_limit()))


def _remarked(engine: E) -> E:
    if engine.remark:
        print(f"warning: {engine.remark}", file=sys.stderr)
    return engine


def _has_cuda() -> bool:
    """Whether torch can use an NVIDIA GPU. Without a driver torch is not even asked: importing it takes seconds."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()
