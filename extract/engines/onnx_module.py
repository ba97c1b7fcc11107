"""An ONNX graph as a torch module, for one batch shape.

With the shape fixed, most of an exported graph (shapes, padding amounts, bounds) is constant: those nodes are computed
once, by onnx's own reference implementation, while the rest is followed on torch's meta device, which knows shapes
and computes nothing. What remains are the few dozen operators of OPERATORS, as a flat list of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from extract.engines.onnx_operators import OPERATORS, Node
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

OUR_DOMAINS = ("", "ai.onnx")
PIXELS = {
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.UINT16: torch.uint16,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
}
"""Networks that do not take float32."""


class UnsupportedOperator(InputError):
    """The network needs an operator that is not in OPERATORS, or a use of one that its function does not do."""


@dataclass(frozen=True)
class _Step:
    run: Callable[..., Any]
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    drop: tuple[str, ...] = ()
    """Values that no later step needs: their memory is given back."""


class OnnxModule(torch.nn.Module):
    """`module(pixels)` gives the `wanted` tensors of the graph, in order. pixels: float [N, C, H, W] of `shape`."""

    def __init__(self, model: ModelProto, wanted: list[str], shape: tuple[int, ...]) -> None:
        """Raises UnsupportedOperator, and InputError where the shapes do not fit together."""
        super().__init__()
        graph = model.graph
        opset = next((entry.version for entry in model.opset_import if entry.domain in OUR_DOMAINS), 1)
        known: dict[str, Any] = {array.name: _array(array) for array in graph.initializer}
        entry = next(value for value in graph.input if value.name not in known)
        self._input = entry.name
        self.dtype = PIXELS.get(entry.type.tensor_type.elem_type, torch.float32)
        self._wanted = wanted
        self._names: dict[str, str] = {}  # ONNX name of a constant -> name of the buffer
        known[self._input] = torch.empty(shape, dtype=self.dtype, device="meta")
        steps: list[_Step] = []
        for node in _needed(graph, wanted):
            if step := self._follow(node, opset, known):
                steps.append(step)
        for name in wanted:
            if not isinstance(known[name], Tensor):
                raise InputError(f"output {name!r} does not depend on the picture")
        self.shapes = {name: tuple(known[name].shape) for name in wanted}
        self._steps = list(_with_drops(steps, {*wanted}))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        values: dict[str | None, Tensor | None] = {name: self.get_buffer(key) for name, key in self._names.items()}
        values |= {None: None, self._input: pixels}
        for step in self._steps:
            made = step.run(*[values[name] for name in step.inputs])
            values.update(zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=False))
            for name in step.drop:
                del values[name]
        return [result for name in self._wanted if (result := values[name]) is not None]

    def _follow(self, node: NodeProto, opset: int, known: dict[str, Any]) -> _Step | None:
        """Put the node's outputs into `known`: numpy where constant (no step then), meta tensors elsewhere."""
        if lost := next((name for name in node.input if name and name not in known), None):
            raise InputError(f"node {node.name or node.op_type!r} takes {lost!r}, which nothing makes")
        inputs = [known[name] if name else None for name in node.input]
        if node.op_type == "Shape" and isinstance(inputs[0], Tensor):
            cut = slice(*(_attributes(node).get(name) for name in ("start", "end")))
            known[node.output[0]] = np.array(inputs[0].shape[cut], np.int64)
            return None
        if not any(isinstance(value, Tensor) for value in inputs):
            known.update(zip(node.output, _constant(node, opset, known), strict=True))
            return None
        operator = OPERATORS.get(node.op_type) if node.domain in OUR_DOMAINS else None
        if operator is None:
            raise UnsupportedOperator(f"operator {node.op_type!r} is not among those that the torch engine has")
        # the number of outputs says how an old Split divides
        facts = Node(_attributes(node) | {"outputs": len(node.output)}, opset)
        host: dict[int, NDArray[Any] | None] = {}
        for place, value in enumerate(inputs):
            if place in operator.host:
                if isinstance(value, Tensor):
                    raise UnsupportedOperator(f"operator {node.op_type!r} with an input that depends on the picture")
                host[place] = value
            elif value is not None and not isinstance(value, Tensor):
                inputs[place] = self._buffer(node.input[place], value, node.op_type).to("meta")
        run = partial(_call, partial(operator.run, facts), host, len(inputs))
        traced = tuple(place for place in range(len(inputs)) if place not in host)
        try:
            made = run(*[inputs[place] for place in traced])
        except NotImplementedError as error:
            raise UnsupportedOperator(f"operator {node.op_type!r} with {' '.join(str(error).split())[:200]}") from error
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise InputError(f"node {node.name or node.op_type!r}: {' '.join(str(error).split())[:200]}") from error
        made = made if isinstance(made, tuple) else (made,)
        known.update(zip(node.output, made, strict=False))
        return _Step(run, tuple(node.input[place] or None for place in traced), tuple(node.output[: len(made)]))

    def _buffer(self, name: str, value: NDArray[Any], operator: str) -> Tensor:
        """A constant that takes part in the computation; kernels in channels-last order."""
        if name not in self._names:
            try:
                tensor = torch.from_numpy(np.array(value))
            except TypeError as error:  # number formats that numpy itself does not have
                raise UnsupportedOperator(f"operator {operator!r} with constants of type {value.dtype}") from error
            if operator == "Conv" and tensor.dim() == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            self._names[name] = f"constant{len(self._names)}"
            self.register_buffer(self._names[name], tensor, persistent=False)
        return self.get_buffer(self._names[name])


def _call(run: Callable[..., Any], host: dict[int, Any], count: int, *tensors: Tensor | None) -> Any:
    """`run` with tensors and host inputs in the order of the node's inputs."""
    left = iter(tensors)
    return run(*[host[place] if place in host else next(left) for place in range(count)])


def _attributes(node: NodeProto) -> dict[str, Any]:
    results = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in results.items()}


def _array(tensor: TensorProto) -> NDArray[Any]:
    """A constant of the file. Raises InputError for a damaged one."""
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"constant {tensor.name!r} is damaged ({error})") from error


def _constant(node: NodeProto, opset: int, known: dict[str, Any]) -> list[NDArray[Any]]:
    """A node's outputs, computed by onnx's reference implementation from constant inputs."""
    from onnx.helper import make_graph, make_model, make_opsetid, make_value_info, np_dtype_to_tensor_dtype
    from onnx.reference import ReferenceEvaluator

    feeds = {name: known[name] for name in node.input if name}
    try:
        kinds = {name: np_dtype_to_tensor_dtype(value.dtype) for name, value in feeds.items()}
        takes = [make_value_info(name, onnx.helper.make_tensor_type_proto(kind, None)) for name, kind in kinds.items()]
        gives = [onnx.ValueInfoProto(name=name) for name in node.output]
        alone = make_model(make_graph([node], "", takes, gives), opset_imports=[make_opsetid(node.domain, opset)])
        return list(ReferenceEvaluator(alone).run(None, feeds))
    except Exception as error:  # a foreign operator, in whatever way the reference implementation says so
        raise UnsupportedOperator(f"operator {node.op_type!r} of constants ({' '.join(str(error).split())})") from error


def _needed(graph: GraphProto, wanted: list[str]) -> list[NodeProto]:
    """The nodes that the wanted tensors depend on, in the graph's order."""
    names, nodes = set(wanted), []
    for node in reversed(graph.node):
        if names & set(node.output):
            names |= {name for name in node.input if name}
            nodes.append(node)
    return nodes[::-1]


def _with_drops(steps: list[_Step], keep: set[str]) -> Iterator[_Step]:
    made = {name for step in steps for name in step.outputs} - keep
    last = {name: index for index, step in enumerate(steps) for name in (*step.inputs, *step.outputs)}
    for index, step in enumerate(steps):
        names = dict.fromkeys((*step.inputs, *step.outputs))
        drop = tuple(name for name in names if name in made and last[name] == index)
        yield _Step(step.run, step.inputs, step.outputs, drop)
