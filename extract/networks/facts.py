"""What the file of a fine-tuned network says of itself: what it has learnt from, and the networks of its folds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract.runtime import inputs
from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash

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

    def tell(self, folder: Path) -> dict[str, Any]:
        """The fold as JSON for the file of the whole network, which lies in `folder`."""
        path = self.path.relative_to(folder).as_posix()
        return {"path": path, "sha256": self.sha256, "held_out": sorted(self.held_out), "videos": sorted(self.videos)}


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


def read_folds(path: Path) -> list[Fold]:
    """The networks of the folds of the one in this file; none where it was fine-tuned without folds, or not at all.

    Raises InputError for a fold that is not there, or another one than the file says.
    """
    told = (read(path) or {}).get("folds", [])
    try:
        folds = [
            Fold(path.parent / fold["path"], fold["sha256"], frozenset(fold["held_out"]), frozenset(fold["videos"]))
            for fold in told
        ]
    except (TypeError, KeyError) as error:
        raise InputError(f"{path}: what it says of its folds cannot be read; fine-tune it anew") from error
    for fold in folds:
        if problem := inputs.problem(fold.path, "network"):
            raise InputError(f"{fold.path}: {problem}; {path} needs it: a network moves together with its folds")
        if (found := file_hash(fold.path)) != fold.sha256:
            raise InputError(
                f"{fold.path}: SHA-256 hash is {found}, expected {fold.sha256}, which {path} was made with; fine-tune "
                f"it anew"
            )
    return folds
