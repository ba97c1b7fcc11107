"""The settings of the mlp family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heads.base.head import HeadSettings


class MlpSettings(HeadSettings):
    """Settings of an mlp; the published ones are hidden 128 (VA: 0), everything below `balance` at 0, no cosine."""

    family: Literal["mlp"] = "mlp"
    hidden: int = Field(default=128, ge=0)
    """Units of the hidden layer; 0: none, a linear model."""
    epochs: int = Field(default=10, ge=1)
    min_steps: int = Field(default=0, ge=0)
    """Small corpora get more epochs, until this many batches were learnt from."""
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    cosine: bool = True
    """Let the learning rate fall to 0 along half a cosine."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of the inputs to the last layer."""
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
    """Penalty on the kernels in the loss (the published VA head: 1/1024)."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, as in AdamW."""
    standardise: bool = True
    embedding_power: float = Field(default=1.0, gt=0, le=1)
    """Signed power of an embedding's values before they are standardised; 0.5 is the signed square root."""
    logits_times: float = Field(default=1.0, gt=0)
    """Columns that stand beside an embedding (logits, va, temporal) count this many times, once standardised."""
    members: int = Field(default=1, ge=1)
    """Networks of different seeds whose scores are averaged."""
