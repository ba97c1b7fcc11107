"""How one encoder of a sequence head learns: clips in a new cut every epoch, the best epoch chosen on dev rows.

On the CPU a batch is cut in two shares that may run side by side, one thread each: what comes out does not depend on
how many threads there are. On a GPU a batch stays whole, and matrices are multiplied in bfloat16.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heads.abaw.tasks import Task
from heads.base import selection
from heads.base.head import OnProgress
from heads.base.threads import threads
from heads.data.table import LabelledRows, Rows
from heads.families.sequence import clips as sequence_clips
from heads.families.sequence.augment import Augmentation, augment
from heads.families.sequence.clips import PADDING
from heads.families.sequence.layers import generators
from heads.families.sequence.network import Encoder, activate, compute_loss

WORTH_SHARING = 2**18
"""Values in a layer of a batch from which the batch is cut in two shares."""
WARM = 0.1
"""The part of all steps in which the learning rate rises."""
STEEPEST = 1.0
"""Gradients that are longer than this are shortened."""


@dataclass(frozen=True)
class TrainingConfig:
    """How an encoder learns."""

    epochs: int
    """Over which the learning rate falls."""
    batch: int
    """Clips."""
    learning_rate: float
    weight_decay: float
    balance: float
    step: int
    overlap: float
    augmentation: Augmentation
    half: bool = False
    """Multiply matrices in bfloat16 while learning."""


def device() -> torch.device:
    """The GPU, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def quiet_torch() -> None:
    """Torch as heads use it: deterministic, one thread an operation; on a GPU attention is plain matrix products."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if torch.cuda.is_available():  # the quick kinds of attention add up in any order
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)


def predict_rows(
    model: Encoder, task: Task, rows: Rows, course: TrainingConfig, overlap: float | None = None
) -> NDArray[Any]:
    """Scores float32 [N, outputs]: of the clips that a frame is in, each by its place there, the weighted mean.

    Memory beyond a chunk of clips is that of the plan and the scores.
    """
    length = model.shape.length
    plan = sequence_clips.plan_cover(rows, length, course.step, course.overlap if overlap is None else overlap)
    weight = sequence_clips.weights(length)
    total, weighed = np.zeros((len(rows), len(task.outputs))), np.zeros(len(rows))
    clips = sequence_clips.gather_clips(rows, plan, sequence_clips.at_a_time(length, course.batch))
    where = next(model.parameters()).device
    model.eval()

    def scores(values: tuple[sequence_clips.Plan, NDArray[np.float32]]) -> tuple[sequence_clips.Plan, NDArray[Any]]:
        with torch.inference_mode():
            x = model.standardise(torch.from_numpy(values[1]).to(where))
            return values[0], activate(task, model(x, torch.from_numpy(values[0] != PADDING).to(where))).cpu().numpy()

    for at, result in _side_by_side(scores, clips):
        there = at != PADDING
        by_place = np.broadcast_to(weight, at.shape)[there]
        np.add.at(total, at[there], by_place[:, None] * result[there])
        np.add.at(weighed, at[there], by_place)
    return (total / weighed[:, None]).astype(np.float32)


def _side_by_side(what: Callable[[Any], Any], of: Iterator[Any]) -> Iterator[Any]:
    """what(one) of each, in order, as many at a time as there are threads."""
    with ThreadPoolExecutor(threads()) as pool:
        while values := list(itertools.islice(of, threads())):
            yield from pool.map(what, values)


class Training:
    """One encoder on its way: `model`, and what it takes to go on by an epoch."""

    def __init__(self, task: Task, model: Encoder, course: TrainingConfig, train: LabelledRows, seed: int) -> None:
        self.task, self.course, self.train = task, course, train
        self.device = device()
        self.model = model.to(self.device)
        self.parameters = list(model.parameters())
        self.rng, self.seed, self.steps = np.random.default_rng(seed), seed, 0
        self.by_label = torch.from_numpy(selection.label_weights(train.truth, task, course.balance)).to(self.device)
        decays = [p for p in self.parameters if p.ndim > 1]
        groups = [
            {"params": decays, "weight_decay": course.weight_decay},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=course.learning_rate)
        self.total = max(1, course.epochs * steps_per_epoch(train.rows, model.shape.length, course))
        size = course.batch * model.shape.length * model.shape.width
        self.shares = 2 if size >= WORTH_SHARING and self.device.type == "cpu" else 1

    def epoch(self) -> None:
        """Learn from every window of every video once (see heads.families.sequence.clips.random), in a new order."""
        plan = sequence_clips.random(self.train.rows, self.model.shape.length, self.course.step, self.rng)
        plan = plan[self.rng.permutation(len(plan))]
        self.model.train()
        with ThreadPoolExecutor(min(threads(), self.shares)) as pool:
            for at, x in sequence_clips.gather_clips(self.train.rows, plan, self.course.batch):
                self._learn(pool, at, x)

    def run(self, dev: LabelledRows, epochs: int, on_progress: OnProgress) -> tuple[int, float | None]:
        """Learn for `epochs` and go back to the best one by dev's `selection_score`; returns (best epoch, its score).
        Dev is predicted without overlap. Without dev rows the last epoch is the best, and its score None.
        """

        def score() -> float:
            result = predict_rows(self.model, self.task, dev.rows, self.course, overlap=0.0)
            return selection.selection_score(self.task, dev.truth, result)

        results = keep_best_epoch(self.model, epochs, self.epoch, score if len(dev) else None, on_progress)
        self.model.to("cpu")
        return results

    def _learn(self, pool: ThreadPoolExecutor, at: sequence_clips.Plan, x: NDArray[np.float32]) -> None:
        """One step. The loss is of the whole batch: only passing forward and back is shared."""
        cuts = np.array_split(np.arange(len(at)), min(self.shares, len(at)))
        places: list[Tensor] = [torch.empty(0)] * len(cuts)

        def forward(share: int) -> Tensor:
            result, places[share] = self._forward(share, at[cuts[share]], x[cuts[share]])
            return result[places[share]]

        def loss(outputs: Tensor) -> Tensor:
            rows = np.concatenate([at[cut][there.cpu().numpy()] for cut, there in zip(cuts, places, strict=True)])
            truth = torch.from_numpy(self.train.truth[rows]).to(self.device)
            return compute_loss(self.task, outputs, truth, self.by_label)

        set_gradients(pool, self.parameters, len(cuts), forward, loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, STEEPEST)
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.course.learning_rate * rate(self.steps, self.total)
        self.optimizer.step()

    def _forward(self, share: int, at: sequence_clips.Plan, x: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """A share's outputs, and which places were learnt from."""
        generator = torch.Generator(self.device).manual_seed(hash((self.seed, self.steps, share)) % 2**63)
        generators.current = generator
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.course.half):
            features = self.model.standardise(torch.from_numpy(x).to(self.device))
            there = torch.from_numpy(at != PADDING).to(self.device)
            features, there = augment(features, there, self.course.augmentation, self.model.streams, generator)
            return self.model(features, there), there


def keep_best_epoch(
    model: nn.Module,
    epochs: int,
    learn: Callable[[], None],
    score: Callable[[], float] | None,
    on_progress: OnProgress,
) -> tuple[int, float | None]:
    """Let a model learn as `selection.best_epoch` does, and give it the weights of the best epoch; returns that epoch
    and its score.
    """

    def weights() -> dict[str, Tensor]:
        return {name: value.clone() for name, value in model.state_dict().items()}

    best, reached, kept = selection.best_epoch(epochs, learn, score, weights, on_progress)
    if kept is not None:
        model.load_state_dict(kept)
    return best, reached


def set_gradients(
    pool: ThreadPoolExecutor,
    parameters: Sequence[Tensor],
    shares: int,
    forward: Callable[[int], Tensor],
    loss: Callable[[Tensor], Tensor],
) -> None:
    """Set the gradient of a batch's loss, whose outputs are those of its shares, one behind the other: of the whole
    batch is the loss alone, passing forward and back is done share by share, side by side.
    """
    outputs = list(pool.map(forward, range(shares)))
    whole = torch.cat([result.detach() for result in outputs]).requires_grad_()
    (slope,) = torch.autograd.grad(loss(whole), whole)
    slopes = torch.split(slope, [len(result) for result in outputs])

    def backward(result: Tensor, own: Tensor) -> Sequence[Tensor | None]:
        return torch.autograd.grad(result, parameters, own, allow_unused=True)

    for parameter, parts in zip(parameters, zip(*pool.map(backward, outputs, slopes), strict=True), strict=True):
        results = [part for part in parts if part is not None]
        parameter.grad = sum(results[1:], start=results[0]) if results else None


def steps_per_epoch(rows: Rows, length: int, course: TrainingConfig) -> int:
    """About how many batches an epoch has; the cut changes it a little."""
    clips = len(sequence_clips.random(rows, length, course.step, np.random.default_rng(0)))
    return max(1, -(-clips // course.batch))


def rate(step: int, total: int) -> float:
    """The part of the learning rate at a step, from 1: it rises for WARM of them, then falls on a cosine to 0."""
    warm = max(1, round(WARM * total))
    if step <= warm:
        return step / warm
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (step - warm) / max(1, total - warm)))))
