"""Which engine runs a network: ONNX Runtime on an NVIDIA GPU, OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from extract.engines import calibration, onnx_session, onnxruntime_engine
from extract.engines.graph import Engine
from extract.networks.registry import Network
from extract.runtime.errors import InputError, warn
from extract.runtime.process import thread_limit

E = TypeVar("E")


class EngineCache:
    """Engines that stay ready for the next video: one is made when its file, network or settings are asked for first.
    For one thread. After an error in the middle of a video, `clear` it: pictures may still be on their way.
    """

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], Engine] = {}

    def create(self, kind: str, path: Path, network: Network, precision: str, frames: int = 0) -> Engine:
        """As `create`, which is asked once for each file (as it is now), network and setting."""
        now = path.stat()
        key = (kind, path.absolute(), now.st_size, now.st_mtime_ns, network, precision)
        if key not in self._engines:
            self._engines[key] = create(kind, path, network, precision, frames)
        return self._engines[key]

    def clear(self) -> None:
        """Let go of all of them."""
        self._engines.clear()


def create(kind: str, path: Path, network: Network, precision: str, frames: int = 0) -> Engine:
    """The engine that the config asks for: "openvino", "onnxruntime" (on CUDA if there is one, else on CPU), or "auto".
    For so many `frames` that they take long, OpenVINO is calibrated first. Warns where bf16 was asked for and the
    hardware has none. Raises InputError as the engines do.
    """
    engine = choose(
        kind,
        lambda: onnxruntime_engine.OnnxRuntimeEngine(path, network, precision),
        lambda: calibration.create(calibration.Subject(path, network, precision, thread_limit()), frames),
    )
    if engine.remark:
        warn(engine.remark)
    return engine


def choose(kind: str, onnxruntime: Callable[[], E], openvino: Callable[[], E]) -> E:
    """What `kind` asks for: "auto" is ONNX Runtime where that can use a GPU and run the network, else OpenVINO."""
    if wants_onnxruntime(kind):
        try:
            return onnxruntime()
        except InputError as error:
            if kind != "auto":
                raise
            warn(f"{error}; so it does now, without the GPU")
    return openvino()


def wants_onnxruntime(kind: str) -> bool:
    """Whether `features.engine` asks for ONNX Runtime here. Warns where a GPU stays unused for want of a package."""
    if kind != "auto":
        return kind != "openvino"
    if onnx_session.find_device() == "cuda":
        return True
    if onnx_session.has_gpu():
        warn(f"networks run on the CPU; for the GPU: {onnx_session.INSTALL}")
    return False
