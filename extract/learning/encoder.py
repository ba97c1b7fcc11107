"""A vision transformer that a masked autoencoder has left: its facts, its weights in a file, its embedding, which is
the mean over the patches' tokens, behind the last norm.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.networks import checkpoints
from extract.networks import facts as network_facts
from extract.runtime import inputs
from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash, write_whole

if TYPE_CHECKING:
    import torch

KEY = "encoder"
"""Of the metadata of the file of its weights, and among the facts of the ONNX file beside it."""


@dataclass(frozen=True)
class Encoder:
    """Size of a vision transformer; its MLPs are four times as wide as its tokens."""

    size: int
    """Edge of the pictures in pixels, of which `patch` is a part."""
    patch: int
    width: int
    depth: int
    heads: int

    @property
    def patches(self) -> int:
        """How many a picture has."""
        return (self.size // self.patch) ** 2


def create(encoder: Encoder) -> torch.nn.Module:
    """timm's VisionTransformer of that size with random weights: pictures [N, 3, size, size] -> [N, width]."""
    checkpoints.import_timm()
    from timm.models import VisionTransformer

    return VisionTransformer(
        encoder.size, encoder.patch, embed_dim=encoder.width, depth=encoder.depth, num_heads=encoder.heads,
        num_classes=0, global_pool="avg", fc_norm=False,
    )  # fmt: skip


def save(path: Path, encoder: Encoder, model: torch.nn.Module) -> None:
    """Write a model of `create` as safetensors, with its facts."""
    from safetensors.torch import save as as_bytes

    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    data = as_bytes(tensors, {KEY: json.dumps(asdict(encoder), sort_keys=True)})
    with write_whole(path) as temporary:
        temporary.write_bytes(data)


def describe(path: Path) -> dict[str, Any]:
    """What the ONNX file beside a file of weights says of it, among its facts."""
    return {KEY: {"path": path.name, "sha256": file_hash(path)}}


def load_beside(onnx: Path) -> torch.nn.Module | None:
    """The encoder whose weights lie beside a network's ONNX file, as that says; None where it says nothing.

    Raises InputError for weights that are not there, or other ones.
    """
    told = (network_facts.read(onnx) or {}).get(KEY)
    if told is None:
        return None
    try:
        path, sha256 = onnx.parent / Path(told["path"]).name, str(told["sha256"])
    except (TypeError, KeyError):
        raise InputError(f"{onnx}: what it says of its encoder cannot be read; pre-train it anew") from None
    if problem := inputs.problem(path, "weights"):
        raise InputError(f"{path}: {problem}; {onnx} needs it to learn on: they move together")
    if (found := file_hash(path)) != sha256:
        raise InputError(f"{path}: SHA-256 hash is {found}, expected {sha256}, which {onnx} was made with")
    return _load(path)


def _load(path: Path) -> torch.nn.Module:
    """A file that `save` has written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            encoder = Encoder(**json.loads((file.metadata() or {})[KEY]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = create(encoder)
        model.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not the weights of an encoder ({' '.join(str(error).split())[:200]})") from None
    return model.eval()
