"""The settings of the mlp family."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from heads.base.head import HeadSettings
from heads.base.scaling import BlockScales
from heads.data.table import Rows


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
    schedule: Literal["coslog4"] | None = None
    """Instead of `cosine`, whatever that is: four periods of one, each about twice as long as the one before, as
    RealMLP has them.
    """
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of the inputs to the last layer."""
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
    """Penalty on the kernels in the loss (the published VA head: 1/1024)."""
    l2_columns: int = Field(default=0, ge=0)
    """The columns that `l2` is meant for: on imported tables alone, of fewer columns, it is less in proportion. 0: it
    is the same on all.
    """
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, as in AdamW."""
    standardise: bool = True
    scaling: Literal["moments", "robust"] = "moments"
    """How columns are standardised: by mean and deviation, or by median and quartiles and kept within 3, smoothly."""
    embedding_power: float = Field(default=1.0, gt=0, le=1)
    """Signed power of an embedding's values before they are standardised; 0.5 is the signed square root."""
    logits_times: float = Field(default=1.0, gt=0)
    """Columns that stand beside an embedding (logits, va, temporal) count this many times, once standardised."""
    scales: BlockScales | None = None
    """[scales]: instead of `logits_times`, a number for each kind of columns that stands beside an embedding."""
    members: int = Field(default=1, ge=1)
    """Networks of different seeds whose scores are averaged."""

    @model_validator(mode="after")
    def _scale_what_is_standardised(self) -> Self:
        if self.scaling == "robust" and not self.standardise:
            raise ValueError('scaling = "robust" says how to standardise, but standardise = false')
        return self

    def for_columns(self, rows: Rows) -> MlpSettings:
        """The settings with the `l2` that these rows' columns have: of tables alone, l2 * columns / l2_columns at most.

        A hundred times as many weights fit a few recordings by heart, a few do not: what holds back 1,280 columns of an
        embedding leaves nothing of 17 intensities.
        """
        if not self.l2_columns or any(block.kind not in ("table", "temporal") for block in rows.blocks):
            return self
        return self.model_copy(update={"l2": self.l2 * min(1.0, rows.width / self.l2_columns)})
