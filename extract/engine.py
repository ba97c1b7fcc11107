"""Network + picture -> embedding, logits, va. `create` chooses the engine: torch on CUDA, OpenVINO on CPU.

OpenVINO runs asynchronously, one picture a request, every core busy. One picture a request makes the result of a
picture independent of its neighbours, so resumed and shared runs give the same bytes; on CPU it is also the fastest
way (design notes in the README). The torch engine is in `extract.torch_engine`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from extract import inputs, network_check
from extract.errors import InputError
from extract.networks import Network
from extract.threads import given

if TYPE_CHECKING:
    from onnx import ModelProto

    from extract.torch_engine import TorchEngine

E = TypeVar("E", "OpenVinoEngine", "TorchEngine")
Outputs = dict[str, NDArray[np.float32]]
INPUT_SCALE = 255.0
PRECISIONS = {"f32": "fp32", "bf16": "bf16"}
"""OpenVINO's names of ours."""
REMARKS = {
    "fp32": 'this CPU has no bf16: the network runs in fp32, so precision = "bf16" saves no time here',
    "bf16": 'this CPU has no bf16 and imitates it, which is slower than features.precision = "fp32"',
}
"""What OpenVINO does with bf16 where the CPU lacks it (fp32 on AVX2, imitation on AVX-512), found by trying."""


def create(kind: str, path: Path, network: Network, precision: str) -> OpenVinoEngine | TorchEngine:
    """The engine that the config asks for: "openvino", "torch" (on CUDA if there is one, else on CPU), or "auto".

    "auto" is torch where there is CUDA and torch has the network's operators, else OpenVINO. Warns where bf16 was
    asked for and the hardware has none. Raises InputError as the engines do.
    """
    if kind != "openvino" and (kind == "torch" or _has_cuda()):
        from extract.onnx_torch import UnsupportedOperator
        from extract.torch_engine import TorchEngine

        try:
            return _remarked(TorchEngine(path, network, precision))
        except UnsupportedOperator as error:
            if kind == "torch":
                raise
            print(f"warning: {error}; so it does now, without the GPU", file=sys.stderr)
    return _remarked(OpenVinoEngine(path, network, precision, given()))


def _remarked(engine: E) -> E:
    if engine.remark:
        print(f"warning: {engine.remark}", file=sys.stderr)
    return engine


def _has_cuda() -> bool:
    """Whether torch can use an NVIDIA GPU. Without a driver torch is not even asked: importing it takes seconds."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


def expose(path: Path, network: Network) -> tuple[ModelProto, dict[str, str]]:
    """The ONNX graph with the wanted tensors as outputs, and {kind: tensor name}.

    For `classifier` networks the embedding is the first input of the Gemm that makes the only output; "classifier" is
    that output. Raises InputError where the file is no ONNX graph, has another structure, or lacks a named output.
    """
    import onnx

    inputs.need(path, "network")
    try:
        model = onnx.load(path)
        graph = model.graph
        assert graph.input and graph.output
    except Exception as error:  # protobuf raises its own kinds for foreign bytes
        raise InputError(f"{path}: not an ONNX network ({network_check.why_unreadable(path, error)})") from error
    network_check.check_sizes(path, model)
    if network.section == "networks":
        network_check.check_input(path, graph, network)
    made = {name: node for node in graph.node for name in node.output}
    if network.classifier:
        last = made.get(graph.output[0].name)
        if last is None or last.op_type != "Gemm" or len(graph.output) != 1:
            raise InputError(
                f"{path}: expected one output made by a final Gemm, as in the EmotiEffNet files; found "
                f"{[o.name for o in graph.output]} made by {last.op_type if last else 'nothing'}; "
                f"give it as [networks.<name>] with output names"
            )
        wanted = {"embedding": last.input[0], "classifier": graph.output[0].name}
    else:
        wanted = {kind: name for kind in ("embedding", "logits", "va") if (name := getattr(network, kind))}
        for kind, name in wanted.items():
            if name not in made:
                raise InputError(
                    f"{path}: no output {name!r} ({network.section}.{network.name}.{kind}); its outputs are "
                    f"{', '.join(o.name for o in graph.output)}"
                )
    known = {output.name for output in graph.output}
    for name in dict.fromkeys(wanted.values()):
        if name not in known:
            graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model, wanted


class OpenVinoEngine:
    """Runs one network on CPU. Give it pictures with `submit`; results come to callbacks, in any order."""

    def __init__(self, path: Path, network: Network, precision: str = "fp32", threads: int | None = None) -> None:
        """Compile. `precision` is "fp32" or "bf16"; `threads` None means every core.

        Raises InputError for a network whose input is not [N, channels, size, size].
        """
        import openvino as ov

        graph, self._wanted = expose(path, network)
        self.network = network
        core = ov.Core()
        try:
            model = core.read_model(graph.SerializeToString())
            compiled = core.compile_model(_with_pixels(model, network), "CPU", _settings(precision, threads))
        except (RuntimeError, UnicodeDecodeError) as error:  # the latter: of the text of the former
            raise InputError(
                f"{path}: OpenVINO cannot run network {network.name!r} with size {network.size} and colour "
                f"{network.colour!r}: {str(error).splitlines()[0]}"
            ) from error
        ran = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.runs = f"openvino {version('openvino')} on CPU, {PRECISIONS.get(ran, ran)}"
        native = precision == "fp32" or "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.remark = "" if native else REMARKS[PRECISIONS.get(ran, ran)]
        self._ports = {kind: compiled.output(name) for kind, name in self._wanted.items()}
        shapes = {kind: port.partial_shape for kind, port in self._ports.items()}
        network_check.check_outputs(
            path, network, {kind: [axis.get_max_length() for axis in shape] for kind, shape in shapes.items()}
        )
        # One more request than threads: the next picture waits in the engine, not for Python
        self._queue = ov.AsyncInferQueue(compiled, threads + 1 if threads else 0)
        self._queue.set_callback(self._arrived)
        self._failure: BaseException | None = None
        self.widths = {kind: len(row) for kind, row in self.run(_black(network)).items()}

    def begin_video(self) -> None:
        """Nothing to do: pictures run one by one."""

    def submit(self, picture: NDArray[np.uint8], done: Callable[[Outputs], None]) -> None:
        """Queue one picture uint8 [size, size, channels]; waits while every request is busy.

        `done` gets {kind: float32 [width]} on a thread of the engine's.
        """
        self._raise_failure()
        self._queue.start_async({0: picture[None]}, done)

    def flush(self) -> None:
        """Wait until every callback has been called."""
        self._queue.wait_all()
        self._raise_failure()

    def run(self, picture: NDArray[np.uint8]) -> Outputs:
        """One picture, now."""
        answer: list[Outputs] = []
        self.submit(picture, answer.append)
        self.flush()
        return answer[0]

    def _arrived(self, request: Any, done: Callable[[Outputs], None]) -> None:
        try:  # an exception that leaves a callback would end the process
            done(
                split(
                    {
                        kind: np.array(request.get_tensor(port).data, np.float32).ravel()
                        for kind, port in self._ports.items()
                    },
                    self.network,
                )
            )
        except BaseException as error:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def split(raw: Outputs, network: Network) -> Outputs:
    """A classifier's output [C] or [C + 2] as logits and va; named outputs stay as they are. Checks the class count."""
    outputs = {kind: row for kind, row in raw.items() if kind != "classifier"}
    if "classifier" in raw:
        scores, classes = raw["classifier"], len(network.classes or ())
        if len(scores) != classes + 2 * network.has_va:
            raise InputError(
                f"{network.file}: {len(scores)} outputs, expected {classes + 2 * network.has_va} for {network.name!r}"
            )
        outputs["logits"] = scores[:classes]
        if network.has_va:
            outputs["va"] = scores[classes:]
    return outputs


def _black(network: Network) -> NDArray[np.uint8]:
    return np.zeros((network.size, network.size, len(network.mean)), np.uint8)


def _settings(precision: str, threads: int | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": next((theirs for theirs, ours in PRECISIONS.items() if ours == precision)),
    }
    # Pinned, the threads of several processes that share a machine would all be pinned to its first cores
    return settings | ({"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False} if threads else {})


def _with_pixels(model: Any, network: Network) -> Any:
    """Build (pixel / 255 - mean) / std and the layout change into the network, where they cost least.

    A network that takes whole numbers gets the pixels as they are.
    """
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
