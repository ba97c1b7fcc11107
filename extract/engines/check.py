"""Whether a network's file is what the config says of it, and whether what it gives can be kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.networks.registry import OUTPUTS
from extract.runtime import limits
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from extract.networks.registry import Network


CHANNELS = (1, 3)
LARGE = 2**27
"""Bytes of a network: shapes are told from a copy of it."""


def entries(graph: GraphProto) -> list[Any]:
    """The graph's inputs that are no constants."""
    constants = {array.name for array in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def takes_bytes(kind: int) -> bool:
    """Whether a network whose input has this ONNX type takes pixels as they are, 0 to 255, instead of real numbers."""
    from onnx import TensorProto

    return kind in (TensorProto.UINT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)


def takes_whole_numbers(path: Path) -> bool:
    """Whether a network's file takes pixels as they are. A file that cannot be read does not: the engine says so."""
    import onnx

    try:
        return takes_bytes(entries(onnx.load(path, load_external_data=False).graph)[0].type.tensor_type.elem_type)
    except Exception:  # protobuf raises its own kinds for foreign bytes
        return False


def check_input(path: Path, graph: GraphProto, network: Network) -> None:
    """Raise InputError unless the graph takes one picture [N, channels, size, size] of a type that holds its pixels."""
    from onnx import TensorProto

    real = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    if len(takes := entries(graph)) != 1:
        names = ", ".join(value.name for value in takes)
        raise InputError(f"{path}: takes {len(takes)} inputs ({names}), expected the picture alone")
    tensor = takes[0].type.tensor_type
    if not (takes_bytes(tensor.elem_type) or tensor.elem_type in real):
        known = dict(zip(TensorProto.DataType.values(), TensorProto.DataType.keys(), strict=True))
        kind = known.get(tensor.elem_type, f"of type {tensor.elem_type}").lower()
        raise InputError(f"{path}: its input is {kind}, which holds no pixels; expected float or uint8: export it anew")
    if not tensor.HasField("shape"):
        return
    axes = [axis.dim_value or None for axis in tensor.shape.dim]
    said = [axis or "any" for axis in axes]
    if len(axes) != 4 or (axes[3] in CHANNELS and axes[1] not in (*CHANNELS, None)):
        order = ": it is [N, height, width, channels]" if len(axes) == 4 else ""
        raise InputError(
            f"{path}: its input has the shape {said}{order}; expected [N, channels, height, width]: export it that way"
        )
    if any(side not in (None, network.size) for side in axes[2:]):
        raise InputError(
            f"{path}: takes pictures of {said[2]}x{said[3]} pixels, but {network.section}.{network.name}.size is "
            f"{network.size}: correct the size, or export the network for any size"
        )


def check_sizes(path: Path, model: ModelProto) -> None:
    """Raise InputError for a graph that makes larger tensors than any network: a few bytes can ask for gigabytes.

    What cannot be told without a picture counts as 1; files that are large themselves are not looked through.
    """
    import onnx

    if model.ByteSize() > LARGE:
        return
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # a graph that is said to be wrong by whoever runs it, or too large to be copied
        return
    for value in graph.value_info:
        axes = [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim]
        if math.prod(axes) > limits.TENSOR:
            raise InputError(
                f"{path}: {value.name!r} in it has the shape {axes}, expected {limits.TENSOR:,} numbers at most"
            )


def check_outputs(path: Path, network: Network, shapes: dict[str, Sequence[int]]) -> None:
    """Raise InputError unless each output, {kind: shape}, pictures first, is a vector as wide as the config says."""
    for kind, shape in shapes.items():
        if kind not in OUTPUTS:
            continue
        where = f"{path}: output {getattr(network, kind)!r} ({network.section}.{network.name}.{kind})"
        if sum(axis > 1 for axis in shape[1:]) > 1:
            raise InputError(
                f"{where} has the shape {list(shape)}: a map of {int(np.prod(shape[1:])):,} numbers a picture; "
                f"expected one vector: name a pooled output"
            )
        width = int(np.prod(shape[1:])) if len(shape) > 1 else int(np.prod(shape))
        check_width(where, kind, width, network.classes)


def check_width(source: str, kind: str, width: int, classes: Sequence[str] | None) -> None:
    """Raise InputError, beginning with `source`, for logits that are not one a class, and va that are not two."""
    if kind == "logits" and classes and width != len(classes):
        raise InputError(
            f"{source} has {width} columns, but classes names {len(classes)}; expected a name for each, in order"
        )
    if kind == OUTPUTS[-1] and width != 2:
        raise InputError(f"{source} has {width} columns, expected 2: valence and arousal, in this order")
