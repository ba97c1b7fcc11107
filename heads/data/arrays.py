"""A model's arrays, from files that may be somebody else's: numbers alone, all finite, no larger than their file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime.run_folder import write_whole


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file. Raises ValueError for packed ones, which may unpack to any size, and as `finite`."""
    with zipfile.ZipFile(path) as archive:
        if packed := [item.filename for item in archive.infolist() if item.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"{path.name}: {packed[0]!r} is packed")
    with np.load(path) as arrays:
        return finite({name: arrays[name] for name in arrays.files}, path.name)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as an npz file, whole or not at all."""
    with write_whole(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **arrays)  # type: ignore[arg-type]


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a safetensors file, whole or not at all."""
    from safetensors.numpy import save

    with write_whole(path) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(values) for name, values in arrays.items()}))


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file. Raises ValueError as `finite`."""
    from safetensors.numpy import load_file

    return finite(load_file(path), path.name)


def finite(arrays: Mapping[str, NDArray[Any]], source: str) -> dict[str, NDArray[Any]]:
    """The arrays themselves. Raises ValueError for one that holds anything but finite numbers, or true and false."""
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fb" or not np.isfinite(values).all():
            what = values.dtype if isinstance(values, np.ndarray) else "other"
            raise ValueError(f"{source}: {name!r} holds {what} values that are not all finite numbers")
    return dict(arrays)


def require_shapes(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], source: str) -> None:
    """Raise ValueError where an array is missing or of another shape: before anything is made as large as it says."""
    for name, shape in shapes.items():
        result = arrays[name].shape if name in arrays else None
        if result != shape:
            raise ValueError(f"{source}: {name!r} has the shape {result}, expected {shape}")
