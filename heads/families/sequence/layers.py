"""The layers that an encoder is made of: attention, dilated convolutions, or a recurrent network.

All take features [clips, length, width] and which places are nobody's, and give features of the same shape. What stands
at nobody's place changes nothing elsewhere. A convolution sees such a place as zeros, so that a gap is seen as a gap; a
recurrent network goes on from the last frame before it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Kind = Literal["transformer", "tcn", "bigru"]
KERNEL = 5
"""Frames that a convolution looks at; layer i looks at frames 2 ** i apart, so that six layers see 253 frames."""


@dataclass(frozen=True)
class Shape:
    """How large an encoder is; `width` is that of the whole encoder, a multiple of `heads` and of the streams."""

    layers: int
    heads: int
    width: int
    feedforward: int
    length: int
    dropout: float = 0.0
    norm_first: bool = True
    kind: Kind = "transformer"


generators = threading.local()
"""`generators.current`: where this thread's dropout draws from. Shares of a batch run side by side, each with its own,
so what is dropped does not hang on which is first.
"""


class Dropout(nn.Module):
    """Dropout that draws from this thread's generator."""

    def __init__(self, part: float) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        """Leave out `part` of the values while learning, and enlarge the rest."""
        if not self.training or not self.part:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.part, generator=generators.current)
        return x * kept / (1 - self.part)


class Convolution(nn.Module):
    """A residual block of a temporal convolutional network (Bai et al., 2018), which looks ahead, too."""

    def __init__(self, shape: Shape, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        reach = KERNEL // 2 * dilation
        self.convolution = nn.Conv1d(shape.width, shape.width, KERNEL, padding=reach, dilation=dilation)
        self.mix = nn.Linear(shape.width, shape.width)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        """See the module."""
        known = self.norm(x).masked_fill(src_key_padding_mask[..., None], 0.0)
        around = self.convolution(known.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(self.mix(nn.functional.gelu(around)))


class Recurrence(nn.Module):
    """A residual block of a bidirectional GRU (Cho et al., 2014), half of the width each way."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.gru = nn.GRU(shape.width, shape.width // 2, batch_first=True, bidirectional=True)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        """See the module. Frames are moved together, so that neither direction runs over nobody's places."""
        first = src_key_padding_mask.long().argsort(stable=True, dim=1)[..., None].expand_as(x)
        frames = (~src_key_padding_mask).sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.norm(x).gather(1, first), frames, batch_first=True, enforce_sorted=False)
        result, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return x + self.dropout(torch.zeros_like(result).scatter(1, first, result))


def create(shape: Shape, number: int) -> nn.Module:
    """The layer of this number of an encoder."""
    if shape.kind == "tcn":
        return Convolution(shape, 2**number)
    return Recurrence(shape) if shape.kind == "bigru" else _attention(shape)


def _attention(shape: Shape) -> nn.TransformerEncoderLayer:
    """PyTorch's layer, its dropouts replaced by ours; attention weights are not dropped."""
    layer = nn.TransformerEncoderLayer(
        shape.width, shape.heads, shape.feedforward, 0.0, "gelu", batch_first=True, norm_first=shape.norm_first
    )
    layer.dropout, layer.dropout1, layer.dropout2 = (Dropout(shape.dropout) for _ in range(3))  # type: ignore[assignment]
    return layer


def largest(shape: Shape) -> tuple[str, tuple[int, ...]]:
    """The name of an encoder's largest array, that is told by its shape, and how large it must be."""
    width = shape.width
    return {
        "transformer": ("layers.0.linear1.weight", (shape.feedforward, width)),
        "tcn": ("layers.0.convolution.weight", (width, width, KERNEL)),
        "bigru": ("layers.0.gru.weight_ih_l0", (3 * (width // 2), width)),
    }[shape.kind]
