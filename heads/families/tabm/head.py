"""The tabm family: many networks in one that share nearly all weights, each with a loss of its own, averaged.

TabM (see tabm.network) is the cheap form of the mean over many seeds. Added to the published way: inputs standardised
by train's moments, each block of columns at its scale, the published class and unit weights, a learning rate that rises
and falls, the best epoch chosen on by-video dev rows by what the task is graded on, and, where there are many rows,
epochs of some of them, drawn anew: neighbours are nearly equal. Rows stay float16 until a batch is made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heads.base import scaling, selection
from heads.base.head import Head, OnProgress, _quiet
from heads.data.arrays import read_tensors, require_shapes, write_tensors
from heads.data.table import LabelledRows, Rows
from heads.families.tabm.settings import TabmSettings

if TYPE_CHECKING:
    from heads.families.tabm.network import TabM


class Tabm(Head):
    """One TabM network."""

    Settings = TabmSettings
    gpu = True
    settings: TabmSettings
    model: TabM

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. Without dev rows the last epoch is kept."""
        from heads.families.sequence import training as sequence_training
        from heads.families.tabm.training import steps_per_epoch

        steps = steps_per_epoch(len(train), self.settings)
        self.epochs = self.best = max(self.settings.epochs, -(-self.settings.min_steps // steps))
        self.best, score = self._fit(train, dev, seed, on_progress)
        return {
            "best_epoch": self.best,
            "epochs": self.epochs,
            "steps_per_epoch": steps,
            "selection": selection.SELECTION[self.task.labels],
            "selection_score": score,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "device": sequence_training.device().type,
        }

    def refit(self, rows: LabelledRows, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit: from the start again, up to the best epoch."""
        self._fit(rows, rows.take(np.empty(0, np.int64)), seed, on_progress)

    def _fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress
    ) -> tuple[int, float | None]:
        """Learn up to the best epoch known, and return it anew with its selection score."""
        from heads.families.sequence import training as sequence_training
        from heads.families.tabm import network as tabm_network
        from heads.families.tabm import training as tabm_training

        sequence_training.quiet_torch()
        mean, deviation = scaling.moments(train.rows)
        moments = mean, deviation / scaling.block_scales(train.rows, self.settings.scales)
        model = tabm_network.build(train.rows.width, self.settings, len(self.task.outputs), moments, seed)
        training = tabm_training.Training(self.task, self.settings, model, train, self.epochs, seed)
        results = training.run(dev, self.best, on_progress)
        self.model = training.model
        return results

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict: the members' mean."""
        from heads.families.tabm import training as tabm_training

        return tabm_training.predict_rows(self.model, self.task, rows)

    def save(self, folder: Path) -> None:
        """Weights and moments as one safetensors file."""
        write_tensors(folder / "tabm.safetensors", {k: v.cpu().numpy() for k, v in self.model.state_dict().items()})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        import torch

        from heads.families.tabm import network as tabm_network

        arrays = read_tensors(folder / "tabm.safetensors")
        width, outputs = len(arrays["mean"]), len(self.task.outputs)
        require_shapes(arrays, tabm_network.sizes(width, self.settings, outputs), "tabm.safetensors")
        moments = arrays["mean"], arrays["deviation"]
        self.model = tabm_network.build(width, self.settings, outputs, moments, 0)
        self.model.load_state_dict({name: torch.from_numpy(values) for name, values in arrays.items()})

    def check(self, columns: Sequence[str]) -> None:
        """See Head.check: torch would stretch a single column."""
        if len(columns) != len(self.model.mean):
            raise ValueError(f"tabm.safetensors: of {len(self.model.mean)} columns, model.json has {len(columns)}")
        super().check(columns)
