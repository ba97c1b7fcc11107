"""ONNX operators that look through windows (convolution, pooling) or change a picture's size (pad, resize), in torch.

Signatures as in `extract.onnx_operators`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from extract.onnx_operators import Node

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
