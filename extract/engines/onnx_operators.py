"""ONNX operators in torch: OPERATORS, one small function each, after onnx.ai/onnx/operators.

A function gets the node's facts (`Node`) and its inputs in order, None where an optional one is left out. Inputs that
only steer (shapes, axes, bounds) come as numpy arrays, all others as tensors. What ONNX allows and the function does
not do is raised as NotImplementedError that says what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

CONVS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE_POOLS: dict[int, Any] = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def conv(node: Node, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Conv: kernel [out, in / group, ...]; auto_pad or explicit, even or uneven pads."""
    strides, dilations, low, high = _window(node, x, list(kernel.shape[2:]))
    x, pads = _even(x, low, high, 0.0)
    return CONVS[len(strides)](x, kernel, bias, strides, pads, dilations, node.get("group", 1))


def max_pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool; pads never win."""
    strides, dilations, low, high = _window(node, x, size := list(node.get("kernel_shape")))
    ceil = bool(node.get("ceil_mode", 0))
    if low != high and ceil:
        raise NotImplementedError("ceil_mode with uneven pads")
    x, pads = _even(x, low, high, -math.inf)
    return MAX_POOLS[len(size)](x, size, strides, pads, dilations, ceil)


def average_pool(node: Node, x: Tensor) -> Tensor:
    """AveragePool, pads counted or not."""
    strides, dilations, low, high = _window(node, x, size := list(node.get("kernel_shape")))
    ceil, counted = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))
    if any(step != 1 for step in dilations) or (ceil and low != high):
        raise NotImplementedError("dilations, or ceil_mode with uneven pads")
    pool = AVERAGE_POOLS[len(size)]
    if low == high:
        return pool(x, size, strides, low, ceil, counted)
    x, inside = _padded(x, low, high, 0.0), _padded(torch.ones_like(x[:1, :1]), low, high, 1.0 if counted else 0.0)
    return pool(x, size, strides) / pool(inside, size, strides)


def pad(node: Node, x: Tensor, pads: Any = None, value: Any = None, axes: Any = None) -> Tensor:
    """Pad by a constant, by reflection or by the edge; pads may be negative."""
    mode = PAD_MODES.get(node.get("mode", "constant"))
    if mode is None:
        raise NotImplementedError(f"mode {node.get('mode')!r}")
    amounts = [int(amount) for amount in (node.get("pads") if pads is None else pads.tolist())]
    where = range(x.dim()) if axes is None else [int(axis) % x.dim() for axis in axes.tolist()]
    low, high = [0] * x.dim(), [0] * x.dim()
    for i, axis in enumerate(where):
        low[axis], high[axis] = amounts[i], amounts[i + len(where)]
    fill = node.get("value", 0.0) if value is None else float(value)
    if mode != "constant":
        if any(low[:2] + high[:2]):
            raise NotImplementedError(f"mode {node.get('mode')!r} for batch or channels")
        return functional.pad(x, _pairs(low[2:], high[2:]), mode)
    return functional.pad(x, _pairs(low, high), mode, fill)


def resize(node: Node, x: Tensor, region: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    """Resize of the spatial axes: linear (half pixel or aligned corners) and nearest (asymmetric, floor)."""
    wanted = _resized(x.shape, scales, sizes)
    mode, place = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    rank = x.dim() - 2
    if node.get("antialias", 0) or node.get("axes") or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NotImplementedError("antialias, axes or keep_aspect_ratio_policy")
    if wanted[:2] != list(x.shape[:2]) or rank not in LINEAR:
        raise NotImplementedError(f"{list(x.shape)} to {wanted}")
    if mode == "linear" and place in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        if place == "pytorch_half_pixel" and 1 in wanted[2:]:
            raise NotImplementedError("pytorch_half_pixel to one pixel")
        return functional.interpolate(x, wanted[2:], mode=LINEAR[rank], align_corners=place == "align_corners")
    if mode == "nearest" and place == "asymmetric" and node.get("nearest_mode", "round_prefer_floor") == "floor":
        return functional.interpolate(x, wanted[2:], mode="nearest")
    raise NotImplementedError(f"mode {mode!r} with coordinates {place!r}")


def _resized(shape: torch.Size, scales: Any, sizes: Any) -> list[int]:
    if sizes is not None and sizes.size:
        return [int(size) for size in sizes]
    if scales is None or not scales.size:
        raise NotImplementedError("neither scales nor sizes")
    exact: NDArray[np.float64] = np.asarray(shape) * scales.astype(np.float64)
    if not np.allclose(exact, np.rint(exact)):
        raise NotImplementedError(f"scales {scales.tolist()} that give no whole sizes")
    return [int(size) for size in np.rint(exact)]


def _window(node: Node, x: Tensor, size: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """(strides, dilations, pads before, pads behind), one number per spatial axis."""
    rank = len(size)
    strides = list(node.get("strides") or [1] * rank)
    dilations = list(node.get("dilations") or [1] * rank)
    auto = node.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = list(node.get("pads") or [0] * 2 * rank)
        return strides, dilations, pads[:rank], pads[rank:]
    if auto == "VALID":
        return strides, dilations, [0] * rank, [0] * rank
    low, high = [], []
    for length, width, step, spread in zip(x.shape[2:], size, strides, dilations, strict=True):
        total = max(0, (math.ceil(length / step) - 1) * step + (width - 1) * spread + 1 - length)
        small, large = total // 2, total - total // 2
        low.append(small if auto == "SAME_UPPER" else large)
        high.append(large if auto == "SAME_UPPER" else small)
    return strides, dilations, low, high


def _even(x: Tensor, low: list[int], high: list[int], value: float) -> tuple[Tensor, list[int]]:
    """Even pads are left to the operator; uneven ones are put around x here, and the operator gets none."""
    return (x, low) if low == high else (_padded(x, low, high, value), [0] * len(low))


def _padded(x: Tensor, low: list[int], high: list[int], value: float) -> Tensor:
    return functional.pad(x, _pairs(low, high), value=value)


def _pairs(low: list[int], high: list[int]) -> list[int]:
    """torch's order of pads: (before, behind) of the last axis first."""
    return [amount for pair in zip(reversed(low), reversed(high), strict=True) for amount in pair]


Host = NDArray[Any] | None


@dataclass(frozen=True)
class Node:
    """One node's attributes and the version of the operator set it was written for."""

    attributes: dict[str, Any]
    opset: int

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


@dataclass(frozen=True)
class Operator:
    """`run(node, *inputs)` gives a tensor, or a tuple for several outputs; `host`: positions of numpy inputs."""

    run: Callable[..., Any]
    host: tuple[int, ...] = ()


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.transpose(0, 1) if node.get("transA", 0) else a
    b = b if node.get("transB", 0) else b.transpose(0, 1)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if alpha == beta == 1 and c is not None and c.dim() == 1:
        return functional.linear(a, b, c)
    product = alpha * functional.linear(a, b)
    return product if c is None else product + beta * c


def _div(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _many(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def run(node: Node, first: Tensor, *rest: Tensor) -> Tensor:
        for other in rest:
            first = function(first, other)
        return first

    return run


def _clip(node: Node, x: Tensor, low: Host = None, high: Host = None) -> Tensor:
    bounds = [float(given) if given is not None else node.get(name) for given, name in ((low, "min"), (high, "max"))]
    return x if bounds == [None, None] else x.clamp(*bounds)


def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, x * slope.to(x.dtype))


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return (node.get("alpha", 0.2) * x + node.get("beta", 0.5)).clamp(0, 1)


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(node: Node, x: Tensor) -> Tensor:
        if node.opset >= 13:
            return function(x, node.get("axis", -1))
        # before opset 13 all axes from `axis` on are one
        return function(x.flatten(node.get("axis", 1) % x.dim()), -1).reshape(x.shape)

    return run


def _batch_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, var, scale, bias, False, 0.0, node.get("epsilon", 1e-5))


def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, None, None, scale, bias, True, 0.0, node.get("epsilon", 1e-5))


def _layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    shape = x.shape[node.get("axis", -1) % x.dim() :]
    bias = None if bias is None else bias.expand(shape)
    return functional.layer_norm(x, shape, scale.expand(shape), bias, node.get("epsilon", 1e-5))


def _group_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    if node.opset < 21:
        raise NotImplementedError("before operator set 21, where scale and bias belong to groups")
    return functional.group_norm(x, node.get("num_groups"), scale, bias, node.get("epsilon", 1e-5))


def _axes(node: Node, given: Host) -> list[int] | None:
    axes = node.get("axes") if given is None else given.tolist()
    return None if axes is None else [int(axis) for axis in axes]


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(node: Node, x: Tensor, axes: Host = None) -> Tensor:
        over = _axes(node, axes)
        if not over and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, dim=over or list(range(x.dim())), keepdim=bool(node.get("keepdims", 1)))

    return run


def _global(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda node, x: function(x, dim=list(range(2, x.dim())), keepdim=True)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _reshape(node: Node, x: Tensor, shape: NDArray[np.int64]) -> Tensor:
    keep = not node.get("allowzero", 0)
    return x.reshape([x.shape[i] if size == 0 and keep else size for i, size in enumerate(shape.tolist())])


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm") or tuple(reversed(range(x.dim()))))


def _squeeze(node: Node, x: Tensor, axes: Host = None) -> Tensor:
    over = _axes(node, axes)
    return x.squeeze() if over is None else x.squeeze(over)


def _unsqueeze(node: Node, x: Tensor, axes: Host = None) -> Tensor:
    over = _axes(node, axes) or []
    for axis in sorted(axis % (x.dim() + len(over)) for axis in over):
        x = x.unsqueeze(axis)
    return x


def _split(node: Node, x: Tensor, sizes: Host = None) -> tuple[Tensor, ...]:
    axis = node.get("axis", 0)
    if (given := node.get("split") if sizes is None else sizes.tolist()) is None:
        each = math.ceil(x.shape[axis] / node.get("num_outputs", node.get("outputs")))
        return x.split(each, axis)
    return x.split([int(size) for size in given], axis)


def _slice(node: Node, x: Tensor, *given: Host) -> Tensor:
    starts, ends, axes, steps = (
        list(given[i].tolist()) if i < len(given) and given[i] is not None else node.get(name)  # type: ignore[union-attr]
        for i, name in enumerate(("starts", "ends", "axes", "steps"))
    )
    cut = [slice(None)] * x.dim()
    for i, axis in enumerate(axes or range(len(starts))):
        step = steps[i] if steps else 1
        if step < 0:
            raise NotImplementedError("a negative step")
        cut[axis] = slice(starts[i], ends[i], step)
    return x[tuple(cut)]


def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.dim()
    wrapped = torch.where(indices < 0, indices + x.shape[axis], indices)
    return x.index_select(axis, wrapped.flatten()).reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def _expand(node: Node, x: Tensor, shape: NDArray[np.int64]) -> Tensor:
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(shape.tolist())))


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    b = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, b)
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    b = node.get("blocksize")
    return x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b**2, h // b, w // b)


def _cast(node: Node, x: Tensor) -> Tensor:
    import onnx

    kind = onnx.helper.tensor_dtype_to_np_dtype(node.get("to"))
    return x.to(torch.from_numpy(np.zeros(0, kind)).dtype)


def _plain(function: Callable[..., Any]) -> Operator:
    return Operator(lambda node, *inputs: function(*inputs))


OPERATORS: dict[str, Operator] = {
    "Conv": Operator(conv),
    "Gemm": Operator(_gemm),
    "MatMul": _plain(torch.matmul),
    "Einsum": Operator(lambda node, *inputs: torch.einsum(node.get("equation"), *inputs)),
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": Operator(_div),
    "Pow": _plain(torch.pow),
    "Sum": Operator(_many(torch.add)),
    "Max": Operator(_many(torch.maximum)),
    "Min": Operator(_many(torch.minimum)),
    "Equal": _plain(torch.eq),
    "Greater": _plain(torch.gt),
    "Less": _plain(torch.lt),
    "Where": _plain(torch.where),
    "Abs": _plain(torch.abs),
    "Neg": _plain(torch.neg),
    "Exp": _plain(torch.exp),
    "Log": _plain(torch.log),
    "Sqrt": _plain(torch.sqrt),
    "Reciprocal": _plain(torch.reciprocal),
    "Erf": _plain(torch.erf),
    "Tanh": _plain(torch.tanh),
    "Sigmoid": _plain(torch.sigmoid),
    "Relu": _plain(torch.relu),
    "HardSwish": _plain(functional.hardswish),
    "Mish": _plain(functional.mish),
    "Softplus": _plain(functional.softplus),
    "HardSigmoid": Operator(_hard_sigmoid),
    "LeakyRelu": Operator(lambda node, x: functional.leaky_relu(x, node.get("alpha", 0.01))),
    "Elu": Operator(lambda node, x: functional.elu(x, node.get("alpha", 1.0))),
    "Gelu": Operator(lambda node, x: functional.gelu(x, approximate=node.get("approximate", "none"))),
    "PRelu": Operator(_prelu),
    "Clip": Operator(_clip, host=(1, 2)),
    "Softmax": Operator(_softmax(torch.softmax)),
    "LogSoftmax": Operator(_softmax(torch.log_softmax)),
    "BatchNormalization": Operator(_batch_norm),
    "InstanceNormalization": Operator(_instance_norm),
    "LayerNormalization": Operator(_layer_norm),
    "GroupNormalization": Operator(_group_norm),
    "MaxPool": Operator(max_pool),
    "AveragePool": Operator(average_pool),
    "GlobalAveragePool": Operator(_global(torch.mean)),
    "GlobalMaxPool": Operator(_global(torch.amax)),
    "ReduceMean": Operator(_reduce(torch.mean), host=(1,)),
    "ReduceSum": Operator(_reduce(torch.sum), host=(1,)),
    "ReduceMax": Operator(_reduce(torch.amax), host=(1,)),
    "ReduceMin": Operator(_reduce(torch.amin), host=(1,)),
    "ReduceL2": Operator(_reduce(torch.linalg.vector_norm), host=(1,)),
    "Flatten": Operator(_flatten),
    "Reshape": Operator(_reshape, host=(1,)),
    "Transpose": Operator(_transpose),
    "Squeeze": Operator(_squeeze, host=(1,)),
    "Unsqueeze": Operator(_unsqueeze, host=(1,)),
    "Concat": Operator(lambda node, *inputs: torch.cat(inputs, node.get("axis"))),
    "Split": Operator(_split, host=(1,)),
    "Slice": Operator(_slice, host=(1, 2, 3, 4)),
    "Gather": Operator(_gather),
    "Expand": Operator(_expand, host=(1,)),
    "Tile": Operator(lambda node, x, repeats: x.repeat(repeats.tolist()), host=(1,)),
    "Cast": Operator(_cast),
    "DepthToSpace": Operator(_depth_to_space),
    "SpaceToDepth": Operator(_space_to_depth),
    "Pad": Operator(pad, host=(1, 2, 3)),
    "Resize": Operator(resize, host=(1, 2, 3)),
    "Identity": Operator(lambda node, x: x),
    "Dropout": Operator(lambda node, x, *unused: x, host=(1, 2)),
}
