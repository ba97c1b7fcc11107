"""SRVGGNetCompact, a small network that enlarges pictures: its checkpoint (`realesr-general-x4v3.pth`) -> ONNX.

Convolutions of 3 x 3 with PReLU between them, PixelShuffle at the end, and the picture itself, its pixels repeated,
added to the result (Wang et al., Real-ESRGAN, ICCVW 2021). How many, how wide and how large a result follows from the
checkpoint's keys and shapes, `body.<i>.weight`; nothing in it is unpickled (networks.checkpoints).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from extract.networks import checkpoints
from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash, write_whole

if TYPE_CHECKING:
    import torch

SUFFIXES = (".pth", ".pt")
OUTPUT = "output"


def to_onnx(checkpoint: Path, cache: Path, size: int) -> Path:
    """An ONNX file, [N, 3, size, size] -> [N, 3, s size, s size], made once and kept in `cache` under the file's hash.
    Raises InputError for a file that is no checkpoint, or another network's.
    """
    target = cache / f"{checkpoint.stem}-{size}-{file_hash(checkpoint)[:16]}.onnx"
    if not target.exists():
        module = build(checkpoint)
        with write_whole(target) as temporary:
            checkpoints.export(module, temporary, size, (OUTPUT,))
    return target


def build(checkpoint: Path) -> torch.nn.Module:
    """The module with the checkpoint's weights, in evaluation mode. Raises InputError as `to_onnx`."""
    from torch import nn
    from torch.nn import functional

    state = checkpoints.read_state(checkpoint, trusted=False)
    weights = {name: value for name, value in state.items() if name.endswith(".weight")}
    layers: list[nn.Module] = []
    for name, weight in sorted(weights.items(), key=lambda pair: [*map(int, filter(str.isdigit, pair[0].split(".")))]):
        if name != f"body.{len(layers)}.weight" or weight.dim() not in (1, 4):
            raise _is_other(checkpoint, f"{name} {list(weight.shape)}")
        outputs, inputs = weight.shape[0], weight.shape[1] if weight.dim() == 4 else 0
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1) if inputs else nn.PReLU(outputs))
    channels = layers[-1].out_channels if layers and isinstance(layers[-1], nn.Conv2d) else 0
    times = math.isqrt(channels // 3)
    if not times or 3 * times**2 != channels:
        raise _is_other(checkpoint, f"{len(layers)} layers, the last of {channels} outputs")

    class Enlarge(nn.Module):
        """As above; `body` so that the checkpoint's names are the parameters' own."""

        def __init__(self) -> None:
            super().__init__()
            self.body = nn.ModuleList(layers)

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            """[N, 3, H, W] in [0, 1] -> [N, 3, s H, s W]."""
            details = picture
            for layer in self.body:
                details = layer(details)
            repeated = functional.interpolate(picture, scale_factor=float(times), mode="nearest")
            return functional.pixel_shuffle(details, times) + repeated

    module = Enlarge()
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise _is_other(checkpoint, " ".join(str(error).split())[:200]) from None
    return module.eval()


def _is_other(checkpoint: Path, what: str) -> InputError:
    return InputError(
        f"{checkpoint}: found {what}, expected the weights of SRVGGNetCompact (body.0.weight, body.1.weight, ...), as "
        f"realesr-general-x4v3.pth has them; export another network to ONNX"
    )
