"""What is done to clips while learning, so that an encoder does not learn videos by heart: noise, spans, lost frames.

All of it on standardised features [clips, length, columns], drawn from one generator; never on columns that say which
stream is present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heads.families.sequence.network import Stream


@dataclass(frozen=True)
class Augmentation:
    """How much of each; 0 is none."""

    noise: float = 0.0
    """Deviation of Gaussian noise, in deviations of a column."""
    masked_share: float = 0.0
    """The part of a clip whose features become the mean, in one span; its frames are still predicted."""
    dropped_share: float = 0.0
    """The part of frames that are taken out, as if no face had been found."""
    stream_loss: float = 0.0
    """How often a clip loses a whole stream that may be absent."""


def augment(
    x: Tensor, present: Tensor, augmentation: Augmentation, streams: Sequence[Stream], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The augmented clips, and which of their frames are there. The arguments are not changed."""

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, device=x.device)

    clips, length, _ = x.shape
    whole = x
    if augmentation.noise:
        x = x + augmentation.noise * torch.randn(x.shape, generator=generator, device=x.device)
    if augmentation.masked_share:
        span = draw(clips, 1) * 2 * augmentation.masked_share * length  # `masked_share` on average
        start = draw(clips, 1) * (length + span) - span
        place = torch.arange(length, device=x.device)
        x = x.masked_fill(((place >= start) & (place < start + span))[..., None], 0.0)
    if augmentation.dropped_share:
        left = present & (draw(clips, length) >= augmentation.dropped_share)
        present = torch.where(left.any(1, keepdim=True), left, present)
    optional = [stream.present for stream in streams if stream.present is not None]
    if optional and (augmentation.noise or augmentation.masked_share or augmentation.stream_loss):
        x = x.clone() if x is whole else x
        for column in optional:
            kept = draw(clips, 1) >= augmentation.stream_loss
            x[..., column] = whole[..., column] * kept
    return x, present
