"""What the file of a fine-tuned network says of itself: what it has learnt from, and the networks of its folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from extract.runtime import inputs
from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash, read_json, write_json

KEY = "affect-heads"
"""Of the ONNX file's metadata: JSON of what the network has learnt from."""


@dataclass(frozen=True)
class Fold:
    """A network that was fine-tuned without some of the videos, and stands for the whole one on these."""

    path: Path
    sha256: str
    held_out: frozenset[str]
    """Videos whose features come from it."""
    videos: frozenset[str]
    """Videos that it has learnt from."""


def write(model: Any, facts: dict[str, Any]) -> None:
    """Put `facts` into the metadata of an ONNX model, where `read` finds them."""
    import onnx

    onnx.helper.set_model_props(model, {KEY: json.dumps(facts, sort_keys=True)})


def read(path: Path) -> dict[str, Any] | None:
    """What a network of ours has learnt from; None for any other file, and where there is none."""
    import onnx

    if inputs.problem(path, "network"):
        return None
    try:
        model = onnx.load(path, load_external_data=False)
        told = next((prop.value for prop in model.metadata_props if prop.key == KEY), None)
        result = inputs.parse_json(told) if told is not None else None
    except Exception:  # protobuf raises its own kinds for foreign bytes; whoever runs the network says what is wrong
        return None
    if not isinstance(result, dict):
        return None
    videos = result.get("videos", [])
    return result if isinstance(videos, list) and all(isinstance(name, str) for name in videos) else None


def folds_file(path: Path) -> Path:
    """Where the folds of the network in `path` are told, beside it."""
    return path.with_name(f"{path.stem}.folds.json")


def write_folds(path: Path, corpus: str, folds: Sequence[Fold]) -> None:
    """Say which networks stand for that in `path` on its training videos, which are of the corpus of this name."""
    told = [asdict(fold) | {"path": fold.path.relative_to(path.parent).as_posix()} for fold in folds]
    told = [fold | {key: sorted(fold[key]) for key in ("held_out", "videos")} for fold in told]
    write_json(folds_file(path), {"network": file_hash(path), "corpus": corpus, "folds": told})


def read_folds(path: Path) -> tuple[str, list[Fold]]:
    """The corpus whose videos have networks of their own, and these; "" and none where there are no folds.

    Raises InputError for a fold that is not there, or belongs to another network.
    """
    place = folds_file(path)
    if not place.exists():
        return "", []
    again = f"run heads.finetune with --folds again, or delete {place}"
    told = read_json(place, again)
    try:
        whole, corpus = str(told["network"]), str(told["corpus"])
        folds = [
            Fold(path.parent / fold["path"], fold["sha256"], frozenset(fold["held_out"]), frozenset(fold["videos"]))
            for fold in told["folds"]
        ]
    except (TypeError, KeyError) as error:
        raise InputError(f"{place}: tells no folds; {again}") from error
    for file, expected in ((path, whole), *((fold.path, fold.sha256) for fold in folds)):
        if problem := inputs.problem(file, "network"):
            raise InputError(f"{file}: {problem}, but {place} names it; move it there, or {again}")
        if (found := file_hash(file)) != expected:
            raise InputError(f"{file}: SHA-256 hash is {found}, expected {expected} by {place}; {again}")
    return corpus, folds
