"""How a TabM network learns: some rows of train each epoch, the best epoch chosen on dev rows.

Every member has the task's loss, and their mean is learnt by. On the CPU a batch is cut in two shares that may run side
by side, one thread each: what comes out does not hang on how many threads there are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.abaw.tasks import Task
from heads.base import selection
from heads.base.head import OnProgress
from heads.base.threads import threads
from heads.data.table import LabelledRows, Rows, read_ahead, space_evenly
from heads.families.sequence import training as sequence_training
from heads.families.sequence.layers import generators
from heads.families.sequence.network import activate, compute_loss
from heads.families.tabm.network import TabM

if TYPE_CHECKING:
    from heads.families.tabm.settings import TabmSettings

PIECE = 1024
"""Rows that are predicted at a time by each thread."""
WORTH_SHARING = 2**25
"""Multiplications in a batch's first layer from which the batch is cut in two shares."""


def predict_rows(model: TabM, task: Task, rows: Rows) -> NDArray[np.float32]:
    """The mean of the members' scores, float32 [N, outputs]."""
    sequence_training.quiet_torch()
    where = sequence_training.device()
    model.to(where).eval()

    def piece(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return activate(task, model(x.to(where))).mean(1).cpu()

    with ThreadPoolExecutor(threads()) as pool:
        return rows.map(
            lambda chunk: torch.cat([*pool.map(piece, torch.from_numpy(chunk).split(PIECE))]).numpy(), len(task.outputs)
        )


def members_loss(task: Task, outputs: Tensor, truth: Tensor, by_label: Tensor) -> Tensor:
    """The mean of the members' losses, of outputs [n, members, outputs]."""
    each: Tensor = torch.vmap(lambda own: compute_loss(task, own, truth, by_label), 1)(outputs)
    return each.mean()


class Training:
    """One network on its way: `model`, and what it takes to go on by an epoch."""

    def __init__(
        self, task: Task, settings: TabmSettings, model: TabM, train: LabelledRows, epochs: int, seed: int
    ) -> None:
        self.task, self.settings, self.train = task, settings, train
        self.device = sequence_training.device()
        self.model = model.to(self.device)
        self.parameters = list(model.parameters())
        self.rng, self.seed, self.step = np.random.default_rng(seed), seed, 0
        self.batch = batch_size(len(train), settings)
        self.steps = steps_per_epoch(len(train), settings)
        self.total = epochs * self.steps
        self.by_label = torch.from_numpy(selection.label_weights(train.truth, task, settings.balance)).to(self.device)
        shared = [p for name, p in model.named_parameters() if name.endswith("weight")]
        own = [p for name, p in model.named_parameters() if not name.endswith("weight")]
        groups = [{"params": shared, "weight_decay": settings.weight_decay}, {"params": own, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        work = self.batch * train.rows.width * settings.members * settings.hidden
        self.shares = 2 if work >= WORTH_SHARING and self.device.type == "cpu" else 1

    def epoch(self) -> None:
        """Learn from `epoch_rows` rows, drawn anew each epoch, or from every row once; always in a new order. Rows that
        fill no batch sit it out.
        """
        order = self.rng.permutation(len(self.train))[: self.steps * self.batch]
        self.model.train()

        def read(start: int) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
            at = order[start : start + self.batch]
            return self.train.rows.batch(at), self.train.truth[at]

        with ThreadPoolExecutor(min(threads(), self.shares)) as pool:
            for x, truth in read_ahead(read, range(0, len(order), self.batch)):
                self._learn(pool, torch.from_numpy(x), torch.from_numpy(truth).to(self.device))

    def run(self, dev: LabelledRows, epochs: int, on_progress: OnProgress) -> tuple[int, float | None]:
        """Learn for `epochs` and go back to the best one by dev's `selection_score`; returns (best epoch, its score).

        Of dev are looked at `epoch_rows` rows at most, evenly spaced.
        """
        seen = dev.take(space_evenly(len(dev), self.settings.epoch_rows))

        def score() -> float:
            return selection.selection_score(self.task, seen.truth, predict_rows(self.model, self.task, seen.rows))

        return sequence_training.keep_best_epoch(
            self.model, epochs, self.epoch, score if len(dev) else None, on_progress
        )

    def _learn(self, pool: ThreadPoolExecutor, x: Tensor, truth: Tensor) -> None:
        """One step. The loss is of the whole batch: only passing forward and back is shared."""
        cuts = torch.tensor_split(x, min(self.shares, len(x)))

        def forward(share: int) -> Tensor:
            seed = hash((self.seed, self.step, share)) % 2**63
            generators.current = torch.Generator(self.device).manual_seed(seed)
            outputs: Tensor = self.model(cuts[share].to(self.device))
            return outputs

        def loss(outputs: Tensor) -> Tensor:
            return members_loss(self.task, outputs, truth, self.by_label)

        sequence_training.set_gradients(pool, self.parameters, len(cuts), forward, loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, sequence_training.STEEPEST)
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * sequence_training.rate(self.step, self.total)
        self.optimizer.step()


def batch_size(rows: int, settings: TabmSettings) -> int:
    """Rows of a batch: never more than an epoch learns from."""
    return min(settings.batch, settings.epoch_rows, rows)


def steps_per_epoch(rows: int, settings: TabmSettings) -> int:
    """How many batches an epoch has."""
    return max(1, min(rows, settings.epoch_rows) // batch_size(rows, settings))
