"""Sessions of ONNX Runtime, on an NVIDIA GPU or on the CPU, with the same algorithms every time."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.runtime.errors import InputError
from extract.runtime.process import thread_limit

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
"""Our names of devices -> ONNX Runtime's."""
ONLY_ERRORS = 3
"""A level of ONNX Runtime's log."""
INSTALL = "pip install 'affect-heads[gpu]'"
WITHOUT_BF16 = {
    "cuda": 'ONNX Runtime has no bf16 for networks in fp32: with precision = "bf16" the GPU multiplies in TF32',
    "cpu": 'ONNX Runtime has no bf16 on a CPU: the network runs in fp32; features.engine = "openvino" may have it',
}


def has_gpu() -> bool:
    """Whether this process may use an NVIDIA GPU: its driver says so, which CUDA_VISIBLE_DEVICES may forbid."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def find_device() -> str:
    """ "cuda" where ONNX Runtime can use an NVIDIA GPU, else "cpu". Without a driver it is not even imported."""
    if not has_gpu():
        return "cpu"
    try:
        import onnxruntime
    except ImportError:
        return "cpu"
    return "cuda" if PROVIDERS["cuda"] in onnxruntime.get_available_providers() else "cpu"


def open_session(model: ModelProto, device: str, precision: str) -> InferenceSession:
    """A session of a graph on "cuda" or "cpu", in "fp32" (no TF32) or "bf16" (TF32 on the GPU).

    Raises InputError where ONNX Runtime is not installed, or cannot use the GPU.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f'features.engine = "onnxruntime" needs ONNX Runtime: {INSTALL}') from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_ERRORS
    options.use_deterministic_compute = True
    options.intra_op_num_threads = thread_limit() or 0
    own: dict[str, Any] = {}
    if device == "cuda":
        onnxruntime.preload_dlls()  # CUDA's libraries, which torch brings along
        # the algorithm that cuDNN names at once: the fastest of a trial may be another one next time
        own = {"use_tf32": str(int(precision == "bf16")), "cudnn_conv_algo_search": "HEURISTIC"}
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, [(PROVIDERS[device], own)])
    if session.get_providers()[0] != PROVIDERS[device]:
        raise InputError(
            f"ONNX Runtime {onnxruntime.__version__} cannot use this GPU (its CUDA or cuDNN is another version); "
            f'features.engine = "openvino" runs the network on the CPU'
        )
    return session


def describe(device: str, precision: str) -> str:
    """What runs, for the record of a file's features."""
    import onnxruntime

    arithmetic = "tf32" if device == "cuda" and precision == "bf16" else "fp32"
    return f"onnxruntime {onnxruntime.__version__} on {device.upper()}, {arithmetic}"


@contextmanager
def refusals(subject: str, path: Path | None = None) -> Iterator[None]:
    """Whatever ONNX Runtime refuses is an InputError that says it cannot run `subject`, of a file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # its exceptions have no base of their own
        lines = str(error).split(" : ", 2)[-1].splitlines() or [type(error).__name__]
        raise InputError(
            f"{f'{path}: ' if path else ''}ONNX Runtime cannot run {subject} ({lines[0][:200]}); "
            f'features.engine = "openvino" runs it on the CPU'
        ) from error
