"""How many threads a head may use, and the environment of its processes. What it predicts does not depend on either."""

from __future__ import annotations

from extract.runtime import process

VARIABLE = process.VARIABLE
"""Set by train.processes for each job: all cores for a head that runs alone, fewer where several run side by side."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what a GPU needs to add up in the same order every time
    "PYTHONHASHSEED": "0",  # LightAutoML orders its columns by hashes of their names
    "PYTHONUNBUFFERED": "1",
}
"""Of the processes that learn: libraries keep to one thread of their own accord."""


def environment(gpu: bool = False) -> dict[str, str]:
    """What a process that learns has in its environment; with `gpu` it sees the GPUs that whoever starts it sees."""
    return {name: value for name, value in ENVIRONMENT.items() if not (gpu and name == "CUDA_VISIBLE_DEVICES")}


def threads() -> int:
    """Threads for this process, 1 where nobody said."""
    return process.thread_limit() or 1
