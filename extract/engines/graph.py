"""What runs a network; its ONNX graph with the outputs that its row asks for, and what comes out of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from extract.engines import check as network_check
from extract.networks import checkpoints
from extract.networks.registry import OUTPUTS, Network
from extract.runtime import inputs
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto


Outputs = dict[str, NDArray[np.float32]]
OnOutputs = Callable[[Outputs], None]
PICTURE = "picture"
"""The kind of an output that is a picture."""
INPUT_SCALE = 255.0
REMARKS = {
    "fp32": 'this CPU has no bf16: the network runs in fp32, so precision = "bf16" saves no time here',
    "bf16": 'this CPU has no bf16 and imitates it, which is slower than features.precision = "fp32"',
}
"""What OpenVINO does with bf16 where the CPU lacks it (fp32 on AVX2, imitation on AVX-512), found by trying."""


class Engine(ABC):
    """Runs one network. Give it pictures with `submit`; results {kind: float32 [width]} come to callbacks."""

    network: Network
    widths: dict[str, int]
    """Of each kind of output."""
    runs: str
    """What computes, for the record of a file's features."""
    remark: str
    """What the user should know of it, or empty."""
    on_gpu = False
    """Whether the network leaves the CPU's cores to others."""
    by_batch = False
    """Whether a picture may wait for those that follow it."""

    def begin_video(self) -> None:  # noqa: B027
        """The next picture is a video's first."""

    @abstractmethod
    def submit(self, picture: NDArray[np.uint8], done: OnOutputs) -> None:
        """Take one picture uint8 [size, size, channels], waiting while all is busy."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until every callback has been called."""

    def run(self, picture: NDArray[np.uint8]) -> Outputs:
        """One picture, now."""
        answer: list[Outputs] = []
        self.submit(picture, answer.append)
        self.flush()
        return answer[0]


def expose(path: Path, network: Network) -> tuple[ModelProto, dict[str, str]]:
    """The ONNX graph with the wanted tensors as outputs, and {kind: tensor name}; of a `classifier` network the first
    input of its Gemm as "embedding", its only output as "classifier". Raises InputError where the file is no ONNX
    graph, has another structure, or lacks a named output.
    """
    import onnx

    inputs.require_file(path, "network")
    try:
        model = onnx.load(path)
        graph = model.graph
        assert graph.input and graph.output
    except Exception as error:  # protobuf raises its own kinds for foreign bytes
        raise InputError(f"{path}: not an ONNX network ({checkpoints.explain_unreadable(path, error)})") from error
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
        wanted = {kind: name for kind in (*OUTPUTS, PICTURE) if (name := getattr(network, kind))}
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
