"""An ONNX network that hears, compiled for stretches of one length: OpenVINO on CPU, ONNX Runtime on CUDA.

One stretch a request, so a result does not depend on its neighbours.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from extract.engines import create as engine
from extract.engines import graph, onnx_session, openvino_engine
from extract.engines.graph import OnOutputs, Outputs
from extract.networks.registry import Network
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto

    from extract.config import Features

NUMBERS = {"tensor(float16)": np.float16, "tensor(double)": np.float64}
"""ONNX Runtime's names of the types of an input that is not float32."""

ShapeRule = Callable[[list[int | None]], tuple[list[int], int]]
"""The input's shape as the file states it -> what to run, and the axis that is time."""


class Layout:
    """What a network takes and gives, for one length of sound."""

    def __init__(self, path: Path, name: str, wanted: dict[str, str], shaped: ShapeRule) -> None:
        """Raises InputError where the file is no ONNX network of one input, or lacks an output."""
        import openvino as ov

        own: dict[str, Any] = {"file": path.name, "path": path, "classifier": False, "section": "audio", **wanted}
        self.path, self.names = path, wanted
        self.onnx: ModelProto = graph.expose(path, Network(name, 0, (), (), **own))[0]
        self._model: Any = ov.Core().read_model(self.onnx.SerializeToString())
        if len(self._model.inputs) != 1:
            names = ", ".join(port.any_name for port in self._model.inputs)
            raise InputError(f"{path}: takes {len(self._model.inputs)} inputs ({names}), expected the sound alone")
        stated = [size.get_length() if size.is_static else None for size in self._model.input(0).partial_shape]
        self.shape, self.axis = shaped(stated)
        self.outputs = self._given(self.shape)
        """Kind -> [D], or [T, D] for a sequence."""
        lengths = {shape[0] for shape in self.outputs.values() if len(shape) > 1}
        if len(lengths) > 1:
            raise InputError(
                f"{path}: its outputs have {' and '.join(map(str, sorted(lengths)))} vectors for one sound"
            )
        count, self.stride, self.first = next(iter(lengths), 1), 1.0, 0.0
        if lengths:
            self._spread(count, free=stated[self.axis] is None)

    def _spread(self, count: int, free: bool) -> None:
        """Find out how far apart the vectors are (`stride`) and the first one's middle (`first`), in samples (or
        log-mels), by how their count grows with the length. Sound at the end that no vector has heard is left out of
        the shape.
        """
        length = self.shape[self.axis]
        self.stride, self.first = length / count, (length / count - 1) / 2
        if free and count > 2:
            with contextlib.suppress(InputError):
                shortest, before = self._shortest(count), self._shortest(count - 1)
                self.shape[self.axis], self.stride = shortest, float(shortest - before)
                self.first = (shortest - 1 - (count - 1) * self.stride) / 2
        self.outputs = self._given(self.shape)

    def _shortest(self, count: int) -> int:
        """The shortest input that gives so many vectors."""
        return 1 + bisect_left(range(1, self.shape[self.axis]), count, key=self._count)

    def _count(self, length: int) -> int:
        """How many vectors an input of this length gives; 0 where it is too short."""
        shape = list(self.shape)
        shape[self.axis] = length
        try:
            return next(given[0] for given in self._given(shape).values() if len(given) > 1)
        except (InputError, StopIteration):
            return 0

    def _given(self, shape: list[int]) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs, without the axis of the batch."""
        try:
            self._model.reshape({self._model.input(0): shape})
            ports = {kind: self._model.output(name) for kind, name in self.names.items()}
            given = {kind: tuple(port.shape) for kind, port in ports.items()}
        except RuntimeError as error:
            raise InputError(
                f"{self.path}: cannot run on an input of shape {shape}: {str(error).splitlines()[0][:200]}"
            ) from error
        for kind, result in given.items():
            if not 2 <= len(result) <= 3 or result[0] != 1:
                raise InputError(
                    f"{self.path}: output {self.names[kind]!r} has the shape {list(result)}; expected [1, D], or "
                    f"[1, T, D] for a sequence"
                )
        return {kind: outcome[1:] for kind, outcome in given.items()}


class OpenVinoAudioEngine(Layout):
    """Runs on CPU; results come to callbacks, in any order: `submit` takes a stretch of the layout's shape."""

    def __init__(self, path: Path, name: str, wanted: dict[str, str], shaped: ShapeRule, precision: str) -> None:
        import openvino as ov

        super().__init__(path, name, wanted, shaped)
        try:
            compiled = ov.Core().compile_model(self._model, "CPU", openvino_engine.compile_settings(precision))
        except RuntimeError as error:
            raise InputError(f"{path}: OpenVINO cannot run it: {str(error).splitlines()[0][:200]}") from error
        self.runs = f"openvino {version('openvino')} on CPU, {precision}"
        requests = openvino_engine.Requests(compiled, wanted, _first_rows)
        self.submit, self.flush = requests.submit, requests.flush


class OnnxRuntimeAudioEngine(Layout):
    """Runs by ONNX Runtime, on CUDA where there is one; results come at once."""

    def __init__(self, path: Path, name: str, wanted: dict[str, str], shaped: ShapeRule, precision: str) -> None:
        """Raises InputError for what ONNX Runtime or the device refuses."""
        super().__init__(path, name, wanted, shaped)
        device = onnx_session.find_device()
        self._what = f"the audio network {name!r}"
        with onnx_session.refusals(self._what, path):
            self._session = onnx_session.open_session(self.onnx, device, precision)
        self.runs = onnx_session.describe(device, precision)
        takes = self._session.get_inputs()[0]
        self._input, self._type = takes.name, NUMBERS.get(takes.type, np.float32)

    def submit(self, sound: NDArray[np.float32], done: OnOutputs) -> None:
        """Run one stretch of the layout's shape. Raises InputError for what the device refuses."""
        with onnx_session.refusals(self._what):
            result = self._session.run(list(self.names.values()), {self._input: sound.astype(self._type)})
        done(_first_rows(dict(zip(self.names, result, strict=True))))

    def flush(self) -> None:
        """Nothing waits."""


def _first_rows(raw: dict[str, Any]) -> Outputs:
    """What a batch of one gives."""
    return {kind: np.asarray(array[0], np.float32) for kind, array in raw.items()}


def create(
    path: Path, name: str, wanted: dict[str, str], shaped: ShapeRule, settings: Features
) -> OpenVinoAudioEngine | OnnxRuntimeAudioEngine:
    """The engine that the config asks for, as extract.engines.create chooses it for pictures."""
    facts = path, name, wanted, shaped, settings.precision
    return engine.choose(settings.engine, lambda: OnnxRuntimeAudioEngine(*facts), lambda: OpenVinoAudioEngine(*facts))
