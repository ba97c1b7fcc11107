"""Network + picture -> embedding, logits, va, by OpenVINO on CPU.

OpenVINO runs asynchronously, one picture a request, every core busy. One picture a request makes the result of a
picture independent of its neighbours, so resumed and shared runs give the same bytes; on CPU it is also the fastest
way (design notes in the README). The engine for GPUs is `extract.engines.onnxruntime_engine`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.config import Strict
from extract.engines import check as network_check
from extract.engines.graph import INPUT_SCALE, REMARKS, Engine, OnOutputs, Outputs, expose, split
from extract.networks.registry import Network
from extract.runtime.errors import InputError

PRECISIONS = {"f32": "fp32", "bf16": "bf16"}
"""OpenVINO's names of ours."""
REQUESTS_OF_STREAM = 2
"""One runs while the next waits in the engine, not for Python, for which small networks waited half of the time."""
LARGEST = 4096
"""Of anything in a setting."""
REST = 0.2
"""Seconds in which OpenVINO's threads let go of a network: the one that ran last, were it the last to hold it, would
abort the process.
"""


class Setting(Strict):
    """How many pictures run at a time, on how many threads, and how many the engine takes before it waits."""

    streams: int = Field(ge=1, le=LARGEST)
    threads: int = Field(ge=1, le=LARGEST)
    requests: int = Field(ge=1, le=LARGEST)

    def describe(self) -> str:
        """It in words."""
        return f"{self.streams} streams, {self.threads} threads, {self.requests} requests"


class Requests:
    """A compiled network's requests, several at a time; results come to callbacks in any order, on threads of its own.
    What a callback raises is raised by the next call.
    """

    def __init__(
        self, compiled: Any, wanted: dict[str, str], convert: Callable[[Outputs], Outputs], most: int = 0
    ) -> None:
        """`wanted` are the outputs' names by kind, `convert` makes what callbacks get of them; `most` requests."""
        import openvino as ov

        self._ports, self._convert = {kind: compiled.output(name) for kind, name in wanted.items()}, convert
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._queue = ov.AsyncInferQueue(compiled, most or REQUESTS_OF_STREAM * streams)
        self._queue.set_callback(self._arrived)
        weakref.finalize(self, self._queue.wait_all)  # a callback while Python ends would abort the process
        self.count = len(self._queue)
        self._inputs = [request.get_input_tensor() for request in self._queue]
        self._failure: BaseException | None = None

    def submit(self, values: NDArray[Any], done: OnOutputs) -> None:
        """Queue the network's input; waits while every request is busy. From one thread only: start_async takes the
        request that is idle, which another thread would take, too.

        Raises ValueError for an input of another shape.
        """
        self._raise_failure()
        # given the values, start_async asks for their types, which takes longer than this copy
        tensor = self._inputs[self._queue.get_idle_request_id()].data
        if values.shape != tensor.shape:
            raise ValueError(f"an input {values.shape}, expected {tensor.shape}")
        np.copyto(tensor, values, casting="same_kind")
        self._queue.start_async(None, done)

    def flush(self) -> None:
        """Wait until every callback has been called."""
        self._queue.wait_all()
        self._raise_failure()

    def close(self) -> None:
        """Let Python free it with the last reference, which it would not otherwise: OpenVINO's queue and our callback
        hold each other.
        """
        self._queue.wait_all()
        self._queue.set_callback(print)
        time.sleep(REST)

    def _arrived(self, request: Any, done: OnOutputs) -> None:
        try:  # an exception that leaves a callback would end the process
            arrays = {kind: np.array(request.get_tensor(port).data, np.float32) for kind, port in self._ports.items()}
            done(self._convert(arrays))
        except BaseException as error:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class OpenVinoEngine(Engine):
    """Runs one network on CPU; results come in any order, on threads of the engine's."""

    def __init__(
        self,
        path: Path,
        network: Network,
        precision: str = "fp32",
        threads: int | None = None,
        setting: Setting | None = None,
    ) -> None:
        """Compile for "fp32" or "bf16"; `threads` None means every core, `setting` None OpenVINO's own choice.

        Raises InputError for an input that is not [N, channels, size, size].
        """
        import openvino as ov

        graph, wanted = expose(path, network)
        self.network = network
        core = ov.Core()
        fewer = setting is not None and setting.threads < core.get_property("CPU", "RANGE_FOR_STREAMS")[1]
        asked = compile_settings(precision, setting.threads if setting and fewer else threads)
        if setting is not None:
            asked |= {"NUM_STREAMS": setting.streams, "INFERENCE_NUM_THREADS": setting.threads}
        try:
            model = core.read_model(graph.SerializeToString())
            compiled = core.compile_model(_with_pixels(model, network), "CPU", asked)
        except (RuntimeError, UnicodeDecodeError) as error:  # the latter: of the text of the former
            raise InputError(
                f"{path}: OpenVINO cannot run network {network.name!r} with size {network.size} and colour "
                f"{network.colour!r}: {str(error).splitlines()[0]}"
            ) from error
        ran = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.runs = f"openvino {version('openvino')} on CPU, {PRECISIONS.get(ran, ran)}"
        native = precision == "fp32" or "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.remark = "" if native else REMARKS[PRECISIONS.get(ran, ran)]
        shapes = {kind: compiled.output(name).partial_shape for kind, name in wanted.items()}
        network_check.check_outputs(
            path, network, {kind: [axis.get_max_length() for axis in shape] for kind, shape in shapes.items()}
        )
        # One more request than threads: the next picture waits in the engine, not for Python
        requests = setting.requests if setting else threads + 1 if threads else 0

        def convert(raw: Outputs) -> Outputs:  # knows nothing of the engine, which could not be freed at once
            return split({kind: array.ravel() for kind, array in raw.items()}, network)

        self._requests = Requests(compiled, wanted, convert, requests)
        streams, used = (int(compiled.get_property(key)) for key in ("NUM_STREAMS", "INFERENCE_NUM_THREADS"))
        self.setting = Setting(streams=streams, threads=used, requests=self._requests.count)
        black = np.zeros((network.size, network.size, len(network.mean)), np.uint8)
        self.widths = {kind: len(row) for kind, row in self.run(black).items()}

    def submit(self, picture: NDArray[np.uint8], done: OnOutputs) -> None:
        """Queue one picture uint8 [size, size, channels]; waits while every request is busy."""
        self._requests.submit(picture[None], done)

    def flush(self) -> None:
        """Wait until every callback has been called."""
        self._requests.flush()

    def close(self) -> None:
        """As of `Requests`."""
        self._requests.close()


def compile_settings(precision: str, threads: int | None = None) -> dict[str, Any]:
    """OpenVINO's settings for "fp32" or "bf16"; `threads` None means every core."""
    theirs = next(theirs for theirs, ours in PRECISIONS.items() if ours == precision)
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": theirs}
    # Pinned, the threads of several processes that share a machine would all be pinned to its first cores
    return settings | ({"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False} if threads else {})


def _with_pixels(model: Any, network: Network) -> Any:
    """Put (pixel / 255 - mean) / std and the layout change into the network, unless it takes whole numbers."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    model.reshape({model.input(0): [1, len(network.mean), network.size, network.size]})
    steps = PrePostProcessor(model)
    pixels = steps.input()
    pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    pixels.model().set_layout(ov.Layout("NCHW"))
    if model.input(0).get_element_type().is_integral():  # it takes bytes, and normalises them itself
        return steps.build()
    pixels.preprocess().convert_element_type(ov.Type.f32)
    pixels.preprocess().mean([INPUT_SCALE * value for value in network.mean])
    pixels.preprocess().scale([INPUT_SCALE * value for value in network.std])
    return steps.build()
