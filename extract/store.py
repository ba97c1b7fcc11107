"""The feature store: one safetensors file per video and network, written whole or not at all.

`<work>/features/<network>/<video>.safetensors` holds `frame` int32 [N] (1-based, rising), and what the network has of
`embedding` float16 [N, D], `logits` float32 [N, C], `va` float32 [N, 2]. Its metadata say which weights and which
preprocessing made it; `mark` is their fingerprint, and a file with another mark is never mixed in silently.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.errors import InputError
from extract.rundir import writing
from extract.spelling import composed

KINDS = {"embedding": np.float16, "logits": np.float32, "va": np.float32}


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
    """Where one video's features lie."""
    return work / "features" / network / f"{video}.safetensors"


def write(target: Path, features: VideoFeatures, metadata: dict[str, str]) -> None:
    """Write one video's features atomically. The same arrays and metadata give the same bytes.

    The metadata get `content`, a hash of the arrays: whoever uses the features sees when they change.
    """
    from safetensors.numpy import save

    tensors = {"frame": np.ascontiguousarray(features.frame, np.int32)}
    for kind, dtype in KINDS.items():
        if (array := getattr(features, kind)) is not None:
            tensors[kind] = np.ascontiguousarray(array, dtype)
    content = hashlib.sha256(save(tensors)).hexdigest()
    with writing(target) as temporary:
        temporary.write_bytes(save(tensors, {"about": json.dumps(metadata | {"content": content}, sort_keys=True)}))


def read(source: Path) -> VideoFeatures:
    """Read one video's features. Raises InputError for a missing or damaged file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(source)
        return VideoFeatures(tensors["frame"], *(tensors.get(kind) for kind in KINDS))
    except FileNotFoundError:
        raise InputError(f"{source}: no such feature file; run python -m extract.run first") from None
    except (SafetensorError, KeyError, OSError) as error:
        raise InputError(
            f"{source}: damaged feature file ({error}); delete it and run python -m extract.run again"
        ) from error


def about(source: Path) -> dict[str, str] | None:
    """A file's metadata, or None where there is no whole feature file (missing, cut short, foreign)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, framework="numpy") as handle:
            return dict(json.loads((handle.metadata() or {})["about"]))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def videos(work: Path, network: str) -> list[str]:
    """The videos that have features of this network, sorted by name. Raises InputError where there is none."""
    folder = work / "features" / network
    names = sorted(
        composed(file.name.removesuffix(".safetensors")) for file in folder.glob("*.safetensors") if file.name[0] != "."
    )
    if not names:
        raise InputError(f"{folder}: no features of network {network!r}; run python -m extract.run first")
    return names
