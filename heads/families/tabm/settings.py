"""The settings of the tabm family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heads.base.head import HeadSettings
from heads.base.scaling import BlockScales


class TabmSettings(HeadSettings):
    """Settings of a tabm head."""

    family: Literal["tabm"] = "tabm"
    members: int = Field(default=32, ge=1)
    """Networks in one."""
    blocks: int = Field(default=2, ge=1, le=16)
    """Hidden layers."""
    hidden: int = Field(default=128, ge=1)
    """Units of each."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    epochs: int = Field(default=20, ge=1)
    """Over which the learning rate falls; the best one is kept."""
    min_steps: int = Field(default=0, ge=0)
    """Small corpora get more epochs, until this many batches were learnt from."""
    epoch_rows: int = Field(default=50_000, ge=1)
    """Of more rows, an epoch learns from so many, drawn anew; and of dev so many are looked at."""
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled, of the matrices."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    scales: BlockScales = BlockScales()
    """[scales]: what the deviation of each block's columns is made, where an embedding stands beside it."""
