"""Network + pictures -> embedding, logits, va, by torch: on CUDA, or (slowly, to check) on CPU.

Batches always have the same size, so that the same kernels run every time, and each video begins a new one (the last
is filled up with black): kernels may round differently at different places of a batch, and so a picture's place
follows from its video alone. A run that was resumed or shared gives the same bytes on one machine. Copies to the
device, the network and copies back are queued; the next batch is gathered meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extract.engines.check import check_outputs
from extract.engines.graph import INPUT_SCALE, Outputs, expose, split
from extract.engines.onnx_module import OnnxModule, UnsupportedOperator
from extract.networks.registry import Network
from extract.runtime.errors import InputError

BATCH = {"cuda": 64, "cpu": 4}
"""Pictures a batch, where the network's file leaves it open."""
IN_FLIGHT = 2
"""Batches that may be queued on the device while the next one is gathered."""
MIXED = 0.05
"""Relative difference at which a picture's result counts as another one; far above what rounding does, also bf16's."""


class _Slot:
    """Memory of one batch on our side of the device."""

    def __init__(self, batch: int, network: Network, widths: dict[str, int], device: torch.device) -> None:
        pin = device.type == "cuda"
        shape = (batch, network.size, network.size, len(network.mean))
        self.pixels = torch.zeros(shape, dtype=torch.uint8, pin_memory=pin)
        self.rows: NDArray[np.uint8] = self.pixels.numpy()
        self.results = {kind: torch.zeros((batch, width), pin_memory=pin) for kind, width in widths.items()}
        self.waiting: list[Callable[[Outputs], None]] = []
        self.finished = torch.cuda.Event() if pin else None


class TorchEngine:
    """Runs one network in batches. Give it pictures with `submit`; results come to callbacks, in order."""

    def __init__(self, path: Path, network: Network, precision: str = "fp32", device: str | None = None) -> None:
        """Build. `precision` is "fp32" (no TF32) or "bf16" (autocast); `device` None is CUDA where there is one.

        Raises UnsupportedOperator for a network that torch cannot run, InputError for one whose input is not
        [N, channels, size, size].
        """
        self.network = network
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._lowered = precision == "bf16"
        self.runs = f"torch {torch.__version__} on {hardware(self._device)}, {precision}"
        cuda = self._device.type == "cuda"
        if cuda:
            torch.set_float32_matmul_precision("highest")  # no TF32, whatever the process did before
        native = not (cuda and self._lowered) or torch.cuda.is_bf16_supported(including_emulation=False)
        self.remark = "" if native else 'this GPU has no bf16 and imitates it: features.precision = "fp32" is faster'
        model, wanted = expose(path, network)
        self._batch = _fixed_batch(model) or BATCH[self._device.type]
        shape = (self._batch, len(network.mean), network.size, network.size)
        try:
            self._module = OnnxModule(model, list(wanted.values()), shape)
        except UnsupportedOperator as error:
            raise UnsupportedOperator(f'{path}: {error}; features.engine = "openvino" runs it on CPU') from error
        except InputError as error:
            raise InputError(
                f"{path}: torch cannot run network {network.name!r} with size {network.size} and colour "
                f"{network.colour!r}: {error}"
            ) from error
        self._kinds = {kind: self._width(path, name) for kind, name in wanted.items()}
        check_outputs(path, network, {kind: self._module.shapes[name] for kind, name in wanted.items()})
        nothing: Outputs = {kind: np.zeros(width, np.float32) for kind, width in self._kinds.items()}
        self.widths = {kind: len(row) for kind, row in split(nothing, network).items()}
        with self._arithmetic():
            self._module.to(self._device)
            self._mean, self._std = (
                (INPUT_SCALE * torch.tensor(values, device=self._device)).view(1, -1, 1, 1)
                for values in (network.mean, network.std)
            )
            self._free = deque(_Slot(self._batch, network, self._kinds, self._device) for _ in range(IN_FLIGHT + 1))
            self._queued: deque[_Slot] = deque()
            self._gathering = self._free.popleft()
            self._check_independence(path)

    def begin_video(self) -> None:
        """The next picture is a video's first: it gets the first place of a batch."""
        if self._gathering.waiting:
            self._gathering.rows[len(self._gathering.waiting) :] = 0
            self._launch()

    def submit(self, picture: NDArray[np.uint8], done: Callable[[Outputs], None]) -> None:
        """Take one picture uint8 [size, size, channels]; a full batch goes to the device, waiting while it is busy.

        `done` gets {kind: float32 [width]} during some later `submit` or `flush`.
        """
        slot = self._gathering
        slot.rows[len(slot.waiting)] = picture
        slot.waiting.append(done)
        if len(slot.waiting) == self._batch:
            self._launch()

    def flush(self) -> None:
        """Run what is gathered and wait until every callback has been called."""
        self.begin_video()
        while self._queued:
            self._deliver()

    def run(self, picture: NDArray[np.uint8]) -> Outputs:
        """One picture, now."""
        answer: list[Outputs] = []
        self.submit(picture, answer.append)
        self.flush()
        return answer[0]

    def _launch(self) -> None:
        slot = self._gathering
        with self._arithmetic():
            result = self._module(self._normalised(slot.pixels))
            for kind, values in zip(self._kinds, result, strict=True):
                slot.results[kind].copy_(values.reshape(self._batch, -1).float(), non_blocking=True)
            if slot.finished is not None:
                slot.finished.record()
        self._queued.append(slot)
        if not self._free:
            self._deliver()
        self._gathering = self._free.popleft()

    def _deliver(self) -> None:
        slot = self._queued.popleft()
        if slot.finished is not None:
            with self._arithmetic():  # where errors of the queued work come up
                slot.finished.synchronize()
        count = len(slot.waiting)
        rows = {kind: values[:count].numpy().copy() for kind, values in slot.results.items()}
        waiting, slot.waiting = slot.waiting, []
        self._free.append(slot)
        for index, done in enumerate(waiting):
            done(split({kind: values[index] for kind, values in rows.items()}, self.network))

    def _normalised(self, pixels: Tensor) -> Tensor:
        """uint8 [N, H, W, C] -> (pixel / 255 - mean) / std, [N, C, H, W] in channels-last order.

        A network that takes whole numbers gets the pixels as they are.
        """
        there = pixels.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        if not self._module.dtype.is_floating_point:
            return there.to(self._module.dtype)
        return there.float().sub_(self._mean).div_(self._std).to(self._module.dtype)

    def _arithmetic(self) -> AbstractContextManager[None]:
        return arithmetic(self._device, self._lowered, f"{self._batch} pictures of {self.network.name!r} at once")

    def _width(self, path: Path, name: str) -> int:
        shape = self._module.shapes[name]
        if self._batch > 1 and shape[:1] != (self._batch,):
            raise InputError(
                f"{path}: output {name!r} has shape {list(shape)} for {self._batch} pictures, expected one row a "
                f'picture; features.engine = "openvino" runs them one by one'
            )
        return int(np.prod(shape)) // self._batch

    def _check_independence(self, path: Path) -> None:
        """Refuse a graph that mixes the pictures of a batch: at another place, beside others, rows stay the same."""
        if self._batch == 1:
            return
        shape = self._gathering.rows.shape
        noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
        keep = self._batch // 2
        changed = torch.cat([noise[:keep], 255 - noise[keep:]]).flip(0)
        there, elsewhere = (self._module(self._normalised(pixels)) for pixels in (noise, changed))
        for all_, rest in zip(there, elsewhere, strict=True):
            rows = all_[:keep].float()
            if not (rows - rest.flip(0)[:keep].float()).norm() <= MIXED * rows.norm():
                raise InputError(
                    f"{path}: in network {self.network.name!r} a picture's result depends on the others of its batch; "
                    f'features.engine = "openvino" runs them one by one'
                )


@contextmanager
def arithmetic(device: torch.device, lowered: bool, what: str) -> Iterator[None]:
    """Full fp32, or (`lowered`) bf16 by autocast; the same algorithms every time.

    What the device refuses is an InputError that says it cannot run `what`.
    """
    try:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=lowered),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    except RuntimeError as error:  # memory that others use, a GPU too old for this torch, a lost driver
        raise InputError(
            f"{hardware(device)}: torch cannot run {what} there ({str(error).splitlines()[0]}); "
            f'features.engine = "openvino" runs it on CPU'
        ) from error


def hardware(device: torch.device) -> str:
    """What a device is called: "CPU", or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _fixed_batch(model: Any) -> int:
    """The batch size that the file demands, 0 where it leaves it open."""
    constants = {array.name for array in model.graph.initializer}
    entry = next(value for value in model.graph.input if value.name not in constants)
    axes = entry.type.tensor_type.shape.dim
    return int(axes[0].dim_value) if axes else 0
