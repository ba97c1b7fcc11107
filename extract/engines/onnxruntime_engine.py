"""Network + pictures -> embedding, logits, va, by ONNX Runtime: on an NVIDIA GPU, or (to check) on the CPU.

Batches always have the same size, so that the same kernels run every time, and each video begins a new one (the last
is filled up with black): kernels may round differently at different places of a batch, and so a picture's place
follows from its video alone. A run that was resumed or shared gives the same bytes on one machine. A batch runs while
the next one is gathered.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from extract.engines import check, onnx_session
from extract.engines.graph import INPUT_SCALE, Engine, OnOutputs, Outputs, expose, split
from extract.networks.registry import Network
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto

BATCH = {"cuda": 64, "cpu": 4}
"""Pictures a batch, where the network's file leaves it open."""
IN_FLIGHT = 2
"""Batches that may wait for the device while the next one is gathered."""
MAX_DIFFERENCE = 0.05
"""Relative difference at which a picture's result counts as another one; far above what rounding does, also TF32's."""
PIXELS = "affect_heads_pixels"
"""The input that is put before the network's own."""


class _Batch:
    """Pictures of one batch and who waits for their rows."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.pixels = np.zeros(shape, np.uint8)
        self.waiting: list[OnOutputs] = []


class OnnxRuntimeEngine(Engine):
    """Runs one network in batches; results come in order, during some later `submit` or `flush`."""

    by_batch = True

    def __init__(self, path: Path, network: Network, precision: str = "fp32", device: str | None = None) -> None:
        """Build. `precision` is "fp32" (no TF32) or "bf16" (TF32 on a GPU); `device` None is CUDA where there is one.
        Raises InputError for a network whose input is not [N, channels, size, size], that ONNX Runtime cannot run, or
        that mixes the pictures of a batch.
        """
        self.network = network
        device = device or onnx_session.find_device()
        self.on_gpu = device == "cuda"
        self.remark = "" if precision == "fp32" else onnx_session.WITHOUT_BF16[device]
        model, wanted = expose(path, network)
        axes = check.entries(model.graph)[0].type.tensor_type.shape.dim
        count = int(axes[0].dim_value if axes else 0) or BATCH[device]
        self._shape = (count, network.size, network.size, len(network.mean))
        self._kinds, self._names = list(wanted), list(wanted.values())
        self._what = f"{count} pictures of {network.name!r} at once"
        what = f"network {network.name!r} with size {network.size} and colour {network.colour!r}"
        with onnx_session.refusals(what, path):
            self._session = onnx_session.open_session(_with_pixels(model, network, count), device, precision)
            self.runs = onnx_session.describe(device, precision)
            noise = np.random.default_rng(0).integers(0, 256, self._shape, np.uint8)
            results = self._run(noise)
        self._check_rows(path, results)
        check.check_outputs(path, network, {kind: rows.shape for kind, rows in results.items()})
        self._check_independence(path, noise, results)
        self.widths = {kind: len(row) for kind, row in self._row(results, 0).items()}
        self._thread = ThreadPoolExecutor(1, "onnxruntime")
        self._queued: deque[tuple[_Batch, Future[Outputs]]] = deque()
        self._gathering = _Batch(self._shape)

    def begin_video(self) -> None:
        """The next picture is a video's first: it gets the first place of a batch."""
        if self._gathering.waiting:
            self._launch()

    def submit(self, picture: NDArray[np.uint8], done: OnOutputs) -> None:
        """Take one picture uint8 [size, size, channels]; a full batch goes to the device, waiting while it is busy."""
        batch = self._gathering
        batch.pixels[len(batch.waiting)] = picture
        batch.waiting.append(done)
        if len(batch.waiting) == len(batch.pixels):
            self._launch()

    def flush(self) -> None:
        """Run what is gathered and wait until every callback has been called."""
        self.begin_video()
        while self._queued:
            self._deliver()

    def _launch(self) -> None:
        self._queued.append((self._gathering, self._thread.submit(self._run, self._gathering.pixels)))
        self._gathering = _Batch(self._shape)
        if len(self._queued) > IN_FLIGHT:
            self._deliver()

    def _deliver(self) -> None:
        batch, future = self._queued.popleft()
        with onnx_session.refusals(self._what):
            results = future.result()
        for index, done in enumerate(batch.waiting):
            done(self._row(results, index))

    def _run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """{kind: float32 [pictures, ...]} of a whole batch."""
        results = self._session.run(self._names, {PIXELS: pixels})
        return {kind: np.asarray(rows, np.float32) for kind, rows in zip(self._kinds, results, strict=True)}

    def _row(self, results: Outputs, index: int) -> Outputs:
        """One picture's outputs, in memory of their own."""
        return split({kind: rows[index].ravel().copy() for kind, rows in results.items()}, self.network)

    def _check_rows(self, path: Path, results: Outputs) -> None:
        """Raise InputError for an output that has not one row a picture."""
        for name, rows in zip(self._names, results.values(), strict=True):
            if rows.shape[:1] != self._shape[:1]:
                raise InputError(
                    f"{path}: output {name!r} has shape {list(rows.shape)} for {self._shape[0]} pictures, expected one "
                    f'row a picture; features.engine = "openvino" runs them one by one'
                )

    def _check_independence(self, path: Path, noise: NDArray[np.uint8], results: Outputs) -> None:
        """Refuse a graph that mixes the pictures of a batch: at another place, beside others, rows stay the same."""
        keep = len(noise) // 2
        if not keep:
            return
        elsewhere = self._run(np.ascontiguousarray(np.concatenate([noise[:keep], 255 - noise[keep:]])[::-1]))
        for kind, rows in results.items():
            if not np.linalg.norm(rows[:keep] - elsewhere[kind][::-1][:keep]) <= MAX_DIFFERENCE * np.linalg.norm(
                rows[:keep]
            ):
                raise InputError(
                    f"{path}: in network {self.network.name!r} a picture's result depends on the others of its batch; "
                    f'features.engine = "openvino" runs them one by one'
                )


def _with_pixels(model: ModelProto, network: Network, batch: int) -> ModelProto:
    """Put (pixel / 255 - mean) / std and the layout change before the graph's own input: it takes uint8 [batch, size,
    size, channels]. A network that takes whole numbers gets the pixels as they are.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, takes = model.graph, check.entries(model.graph)[0]
    kind, last, steps = takes.type.tensor_type.elem_type, PIXELS, []
    if not check.takes_bytes(kind):
        steps.append(helper.make_node("Cast", [last], [f"{PIXELS}_real"], to=TensorProto.FLOAT))
        last = f"{PIXELS}_real"
        for operator, values in (("Sub", network.mean), ("Div", network.std)):
            constant = numpy_helper.from_array(np.array(values, np.float32) * np.float32(INPUT_SCALE), f"{last}_by")
            graph.initializer.append(constant)
            steps.append(helper.make_node(operator, [last, constant.name], [f"{last}_{operator}"]))
            last = f"{last}_{operator}"
    steps.append(helper.make_node("Cast", [last], [f"{PIXELS}_cast"], to=kind))
    steps.append(helper.make_node("Transpose", [f"{PIXELS}_cast"], [takes.name], perm=[0, 3, 1, 2]))
    for step in reversed(steps):
        graph.node.insert(0, step)
    shape = [batch, network.size, network.size, len(network.mean)]
    graph.input.remove(takes)
    graph.input.insert(0, helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape))
    for result in graph.output:
        result.ClearField("type")  # known from the graph; `expose` says float32 of all
    return model
