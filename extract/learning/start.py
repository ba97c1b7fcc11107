"""Where fine-tuning starts: a timm checkpoint, a pre-trained encoder, or a plain chain out of an ONNX file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.config import Config
from extract.learning import encoder
from extract.networks import checkpoints, registry, weights
from extract.networks.registry import Network
from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash

if TYPE_CHECKING:
    import torch

CHECKPOINTS = (".pt", ".pth")


@dataclass(frozen=True)
class Start:
    """A network to begin with: its facts, and the file of its weights."""

    network: Network
    path: Path
    sha256: str


def find(name: str, config: Config) -> Start:
    """The network that `--network` names: a known one, a [networks.<name>], or the file of a known one's checkpoint.
    Raises InputError where there is none, or no weights that can learn are at hand.
    """
    if Path(name).suffix.lower() in CHECKPOINTS:
        known = registry.NETWORKS.get(Path(name).stem)
        if known is None or known.arch is None:
            raise InputError(
                f"--network {name}: nothing says what this checkpoint is; give it a section [networks.<name>] with "
                f"path, arch, classes, size, mean and std, and that name here"
            )
        path = Path(name)
        trusted = path.is_file() and weights.blob_hash(path) == known.checkpoint_blob
        return Start(replace(known, path=path, trust_pickle=trusted), path, file_hash(path))
    network = registry.find(name, config)
    if network.colour == "grey":
        raise InputError(f"--network {name}: takes grey pictures; only networks of three channels can be fine-tuned")
    if name in registry.NETWORKS and registry.NETWORKS[name].path is None:
        return _find_published(name, network, config.features.weights)
    assert network.path is not None, "shipped, or the user's own"
    weights.verify_named_file(network.path, network)
    return Start(network, network.path, file_hash(network.path))


def _find_published(name: str, network: Network, given: Path | None) -> Start:
    """A published network's checkpoint: in the folder of features.weights, `given`, or in the cache."""
    places = [folder / f"{name}.pt" for folder in (given, weights.cache()) if folder is not None]
    path = next((place for place in places if place.is_file()), None)
    if network.arch is None or path is None:
        raise InputError(
            f"--network {name}: learning needs its PyTorch checkpoint, not the ONNX file; expected "
            + (
                f"it at {' or '.join(map(str, places))} ({name}.pt of EmotiEffLib, models/affectnet_emotions)"
                f"{'' if given else ', or in the folder that features.weights names'}"
                if network.arch
                else f"one of a timm architecture, which {name} is not: choose another network"
            )
        )
    trusted = weights.blob_hash(path) == network.checkpoint_blob
    return Start(replace(network, path=path, trust_pickle=trusted), path, file_hash(path))


def build(start: Start) -> tuple[torch.nn.Module, int]:
    """The body, which gives an embedding, in evaluation mode, and the embedding's width.

    Raises InputError for a checkpoint that does not fit, and for an ONNX file that is no plain chain.
    """
    network = start.network
    if start.path.suffix.lower() not in CHECKPOINTS:
        pretrained = encoder.load_beside(start.path)
        return _read_chain(start.path, network) if pretrained is None else (pretrained, int(pretrained.embed_dim))
    outputs = len(network.classes or ()) + 2 * network.has_va
    assert network.arch is not None, "checked where the network's facts were read"
    model: Any = checkpoints.build(start.path, arch=network.arch, outputs=outputs, trusted=network.trust_pickle)
    model.reset_classifier(0)
    import torch

    try:
        with torch.inference_mode():
            width = model.eval()(torch.zeros(1, 3, network.size, network.size)).shape[1]
    except (AssertionError, RuntimeError) as error:
        raise InputError(
            f"{start.path}: {network.arch} takes no pictures of {network.size} pixels ({error}); correct "
            f"networks.{network.name}.size"
        ) from None
    return model, int(width)


def _read_chain(path: Path, network: Network) -> tuple[torch.nn.Module, int]:
    """An ONNX file of convolutions, ReLUs, a mean over the map and one Gemm, as torch layers; its Gemm is left out."""
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf raises its own kinds for foreign bytes
        raise InputError(f"{path}: not an ONNX network ({checkpoints.explain_unreadable(path, error)})") from None
    arrays = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
    layers: list[Any] = []
    current, width = next((value.name for value in graph.input if value.name not in arrays), ""), 0
    for node in graph.node:
        if node.op_type == "Gemm" and node is graph.node[-1] and current in node.input[:1] and width:
            break
        layer = None
        if current in node.input[:1] and len(node.output) == 1:
            with suppress(RuntimeError, ValueError, TypeError, IndexError):  # a node that contradicts itself
                layer = _create_layer(node, arrays)
        if layer is None:
            raise InputError(
                f"{path}: {node.op_type} in it: only plain chains of convolutions can learn from an ONNX file; give "
                f'the PyTorch checkpoint of network {network.name!r} (path = "....pt", arch = "...")'
            )
        layers.append(layer)
        width = getattr(layer, "out_channels", width)
        current = node.output[0]
    else:
        raise InputError(f"{path}: expected a classifier's Gemm as the last node; give the PyTorch checkpoint instead")
    from extract.learning.network import Chain

    return Chain(layers, width).eval(), width


def _create_layer(node: Any, arrays: dict[str, Any]) -> torch.nn.Module | None:
    """One node as a torch layer; None for one that is none of a plain chain. torch's own errors come through."""
    import torch
    from torch import nn

    if (simple := {"Relu": nn.ReLU, "Flatten": nn.Flatten}.get(node.op_type)) is not None:
        return simple()
    if node.op_type == "GlobalAveragePool":
        return nn.AdaptiveAvgPool2d(1)
    if node.op_type != "Conv" or any(name not in arrays for name in node.input[1:]):
        return None
    said = {item.name: list(item.ints) or item.i for item in node.attribute if item.name != "auto_pad"}
    kernel, *bias = (torch.from_numpy(arrays[name].copy()) for name in node.input[1:])
    pads, group = said.get("pads", [0, 0, 0, 0]), said.get("group", 1)
    if pads[:2] != pads[2:] or len(kernel.shape) != 4:
        return None
    layer = nn.Conv2d(
        kernel.shape[1] * group, kernel.shape[0], tuple(kernel.shape[2:]), tuple(said.get("strides", [1, 1])),
        tuple(pads[:2]), tuple(said.get("dilations", [1, 1])), group, bias=bool(bias),
    )  # fmt: skip
    layer.load_state_dict({"weight": kernel} | ({"bias": bias[0]} if bias else {}))
    return layer
