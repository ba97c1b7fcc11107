"""The feature store: one safetensors file per video and network, written whole or not at all.

`<work>/features/<network>/<video>.safetensors` holds `frame` int32 [N] (1-based, rising), and what the network has of
`embedding` float16 [N, D], `logits` float32 [N, C], `va` float32 [N, 2]. Its metadata say which weights and which
preprocessing made it; `mark` is their fingerprint, and a file with another mark is never mixed in silently. They also
hold a hash of each array and one of themselves: whoever reads an array compares it, so damage is not believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime import file_names, inputs
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from extract.runtime.run_folder import fingerprint, write_whole

BLOCK = (128, 256)
"""Rows and columns of 8 bytes that are hashed by their sums."""
KINDS = {"embedding": np.float16, "logits": np.float32, "va": np.float32}
TYPES = {"frame": "I32", "embedding": "F16", "logits": "F32", "va": "F32"}
"""What safetensors calls the types of the arrays."""


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


FIELD_CHECKS: dict[str, Callable[[Any], bool]] = {
    "arrays": lambda told: isinstance(told, dict),
    "columns": lambda told: isinstance(told, dict) and all(map(_names, told.values())),
    "outputs": lambda told: isinstance(told, list) and bool(told) and (told[-1] is None or _names(told[-1])),
    "unreadable": lambda told: (
        isinstance(told, list) and all(isinstance(item, list) and len(item) == 3 for item in told)
    ),
}
"""Metadata that are JSON, and whether they are of the right kind."""


@dataclass(frozen=True)
class VideoFeatures:
    """Features of one video's frames; arrays that the network does not have are None."""

    frame: NDArray[np.int32]
    embedding: NDArray[np.float16] | None = None
    logits: NDArray[np.float32] | None = None
    va: NDArray[np.float32] | None = None

    def has(self) -> tuple[str, ...]:
        """The kinds of features there are, in the order of KINDS."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)


def path(work: Path, network: str, video: str) -> Path:
    """Where one video's features lie. Raises InputError for names that cannot be files."""
    file_names.check("network", network)
    file_names.check(file_names.VIDEO, video)
    return work / "features" / network / f"{video}.safetensors"


def write(target: Path, features: VideoFeatures, metadata: dict[str, str]) -> None:
    """Write one video's features atomically; the same arrays and metadata give the same bytes.

    The metadata get a hash of each array (`arrays`), of all of them (`content`), and of the metadata (`checksum`).
    """
    from safetensors.numpy import save

    tensors = {"frame": np.ascontiguousarray(features.frame, np.int32)}
    for kind, dtype in KINDS.items():
        if (array := getattr(features, kind)) is not None:
            tensors[kind] = np.ascontiguousarray(array, dtype)
    hashes = {name: array_hash(array) for name, array in tensors.items()}
    metadata = metadata | {"arrays": json.dumps(hashes, sort_keys=True), "content": fingerprint(hashes)}
    metadata |= {"checksum": fingerprint(metadata)}
    with write_whole(target) as temporary:
        temporary.write_bytes(save(tensors, {"about": json.dumps(metadata, sort_keys=True)}))


def array_hash(array: NDArray[Any]) -> str:
    """A hash (hex) of an array's type, shape and values, against damage, not malice: the SHA-256 of sums along both
    sides of blocks of BLOCK words, in a third of the time. Any one changed value changes it.
    """
    result = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    size = 8 * BLOCK[0] * BLOCK[1]
    whole = len(raw) // size * size
    for block in raw[:whole].view(np.uint64).reshape(-1, *BLOCK):
        result.update(block.sum(0).data)
        result.update(block.sum(1).data)
    result.update(raw[whole:].data)
    return result.hexdigest()


def check(source: Path, metadata: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise InputError where an array is not what was written, by the file's metadata; versions without hashes pass."""
    hashes = inputs.parse_json(metadata.get("arrays", "{}"))
    for name, array in arrays.items():
        if name in hashes and array_hash(array) != hashes[name]:
            raise damage_error(source, f"the values of {name!r} are not those that were written", metadata)


def damage_error(source: Path, reason: object, metadata: Mapping[str, str] | None = None) -> InputError:
    """What to raise for a feature file that is no longer what was written, with what mends it."""
    rest = (path for path in source.parent.glob("*.safetensors") if path != source) if metadata is None else ()
    known = next((result for path in rest if (result := read_about(path))), metadata)
    again = (
        "and import the table again: python -m extract.tabular ... --redo"
        if "table" in (known or {})
        else "and run the same command again: its features are made anew (python -m extract.run makes nothing else)"
    )
    return InputError(f"{source}: damaged feature file ({reason}); delete it {again}")


def read(source: Path) -> VideoFeatures:
    """Read one video's features. Raises InputError for a missing or damaged file."""
    from safetensors import SafetensorError, safe_open

    inputs.require_file(source, "feature file", "run python -m extract.run first")
    try:
        with safe_open(source, framework="numpy") as handle:
            known = read_metadata(handle)
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            features = VideoFeatures(tensors["frame"], *(tensors.get(kind) for kind in KINDS))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise damage_error(source, error) from error
    check(source, known, tensors)
    return features


def read_about(source: Path) -> dict[str, str] | None:
    """A file's metadata, or None where there is no whole feature file (missing, cut short, foreign, damaged)."""
    from safetensors import SafetensorError, safe_open

    if inputs.problem(source):
        return None
    try:
        with safe_open(source, framework="numpy") as handle:
            return read_metadata(handle)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def read_metadata(handle: Any) -> dict[str, str]:
    """The metadata of an open feature file. Raises KeyError or ValueError where it has none, or damaged ones, and for
    arrays of another shape or type than `write` leaves.
    """
    known = inputs.parse_json((handle.metadata() or {})["about"])
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        raise ValueError("its metadata are no table of texts")
    for key, fits in FIELD_CHECKS.items():
        if key in known and not fits(inputs.parse_json(known[key])):
            raise ValueError(f"its metadata have {key} {known[key][:60]!r}")
    _check_shapes(handle)
    sealed = {"arrays", "checksum"} & known.keys()  # versions that kept no hashes have neither
    if sealed and known.pop("checksum", "") != (result := fingerprint(known)):
        raise ValueError("its metadata are not those that were written")
    if sealed and set(inputs.parse_json(known["arrays"])) != set(handle.keys()):
        raise ValueError("its arrays are not those that were written")
    return known | ({"checksum": result} if sealed else {})


def _check_shapes(handle: Any) -> None:
    """Raise KeyError or ValueError unless there is a row for each frame, of the types that are written."""
    shapes = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118
    frames = shapes["frame"].get_shape()
    for name, part in shapes.items():
        shape, kind = part.get_shape(), part.get_dtype()
        if kind != TYPES.get(name, kind) or (name in KINDS and (len(shape) != 2 or shape[1] < 1)):
            raise ValueError(f"{name} is {kind} of the shape {shape}")
        if len(frames) != 1:
            raise ValueError(f"frame has the shape {frames}")
        if name in KINDS and shape[0] != frames[0]:
            raise ValueError(f"{name} has {shape[0]} rows, frame has {frames[0]}")


def videos(work: Path, network: str) -> list[str]:
    """The videos that have features of this network, sorted by name. Raises InputError where there is none."""
    folder = work / "features" / file_names.check("network", network)
    result = sorted(compose(file.stem) for file in folder.glob("*.safetensors") if file.name[0] != ".")
    if not result:
        raise InputError(f"{folder}: no features of network {network!r}; run python -m extract.run first")
    return result


LARGEST = 65504
"""What float16 holds: embeddings are kept in it."""


def check_values(features: VideoFeatures, network: str, video: str) -> None:
    """Raise InputError that names the first frame whose values cannot be kept: NaN, infinity, too large a number."""
    for kind in features.has():
        finite = np.isfinite(getattr(features, kind)).all(1)
        if not finite.all():
            row = int((~finite).argmax())
            values = getattr(features, kind)[row]
            value = values[~np.isfinite(values)][0]
            what = (
                "NaN" if np.isnan(value) else f"infinite, or beyond {LARGEST:,}" if kind == "embedding" else "infinite"
            )
            raise InputError(
                f"network {network!r}, video {video!r}, frame {features.frame[row]}: {kind} is {what} "
                f"({int((~finite).sum())} such frames of the video): correct the network, or leave it out of "
                f"features.networks"
            )
