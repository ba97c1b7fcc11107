"""The fusion family: several streams of features, visual networks and sound, in one Transformer encoder.

As published (temporal multimodal fusion, Zhang et al., ABAW-5, arXiv 2303.10849): clips of 100 frames, the streams'
features side by side -> encoder of four layers, dropout 0.3 -> one output per frame. Here each stream has a projection
of its own first, so that a wide network does not drown a narrow one, and a stream may be absent: videos without sound,
say. A vector that is learnt stands in its place then; some clips lose such a stream while learning, so that it is
learnt also where every training video has sound.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from heads.base.head import OnProgress, _quiet
from heads.data.table import PRESENT, LabelledRows, Rows
from heads.families.sequence.head import Sequence, SequenceSettings

if TYPE_CHECKING:
    from heads.families.sequence.augment import Augmentation
    from heads.families.sequence.network import Stream


class FusionSettings(SequenceSettings):
    """Settings of a fusion head: those of a sequence head, and what is known of its streams."""

    family: Literal["fusion"] = "fusion"
    networks: Literal["all"] | list[str] = "all"
    dropout: float = Field(default=0.3, ge=0, lt=1)
    optional: list[str] = Field(default=[])
    """Networks that some videos may lack, or some frames of a video."""
    lost: float = Field(default=0.1, ge=0, le=1)
    """Augmentation: how often a clip loses an optional stream."""

    @model_validator(mode="after")
    def _among_the_networks(self) -> FusionSettings:
        if isinstance(self.networks, list):
            if unknown := [name for name in self.optional if name not in self.networks]:
                raise ValueError(f"optional names {unknown[0]!r}, which is none of networks")
            if set(self.networks) <= set(self.optional):
                raise ValueError("one of networks must not be optional: its frames are those that are predicted")
        return self

    @property
    def may_lack(self) -> tuple[str, ...]:
        """See HeadSettings.may_lack."""
        return tuple(self.optional)


class Fusion(Sequence):
    """One or several encoders over all streams; their scores are averaged."""

    Settings = FusionSettings
    settings: FusionSettings

    def streams_of(self, rows: Rows) -> tuple[Stream, ...]:
        """One stream per network; a network's temporal columns, which stand behind all others, are one more."""
        from heads.families.sequence.network import Stream

        columns = _columns(rows)
        present = {b.network: int(at[0]) for b, at in zip(rows.blocks, columns, strict=True) if b.kind == PRESENT}
        streams: list[Stream] = []
        for block, at in zip(rows.blocks, columns, strict=True):
            if block.kind == PRESENT:
                continue
            start, end = int(at[0]), int(at[-1]) + 1
            if streams and (streams[-1].name, streams[-1].end) == (block.network, start):
                streams[-1] = replace(streams[-1], end=end)
            else:
                streams.append(Stream(block.network, start, end, present.get(block.network)))
        return tuple(streams)

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit; the facts count the rows without an optional stream."""
        facts = super().fit(train, dev, seed, on_progress)
        parts = {"train": train.rows.present, "dev": dev.rows.present}
        without = {part: {name: int((~there).sum()) for name, there in of.items()} for part, of in parts.items()}
        return facts | {"streams": [stream.name for stream in self.parts], "rows_without": without}

    def _augmentation(self) -> Augmentation:
        return replace(super()._augmentation(), stream_loss=self.settings.lost)

    def _moments(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of each network's columns by itself, an optional one's over the rows that have it."""
        mean, deviation = np.zeros(rows.width, np.float32), np.ones(rows.width, np.float32)
        there = rows.present
        pairs = [(b, at) for b, at in zip(rows.blocks, _columns(rows), strict=True) if b.kind != PRESENT]
        for network in dict.fromkeys(block.network for block, _ in pairs):
            own = [(block, at) for block, at in pairs if block.network == network]
            values = replace(rows, blocks=tuple(block for block, _ in own))
            values = values.take(np.flatnonzero(there[network])) if network in there else values
            if len(values):
                at = np.concatenate([at for _, at in own])
                mean[at], deviation[at] = super()._moments(values)
        return mean, deviation


def _columns(rows: Rows) -> list[NDArray[np.int64]]:
    """Which columns of a batch each block is."""
    return np.split(np.arange(rows.width), np.cumsum([block.values.shape[1] for block in rows.blocks])[:-1])
