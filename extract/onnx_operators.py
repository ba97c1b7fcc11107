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

from extract.onnx_windows import average_pool, conv, max_pool, pad, resize

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
    def run(node: Node, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
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
