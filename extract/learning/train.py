"""The loop of fine-tuning: epochs over labelled pictures, checkpoints, and the epoch that is best on held-out videos.

    network, position = fine_tune(run)

Killed at any moment, it goes on from the last checkpoint, to the same bytes (on a CPU, with as many threads).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from extract.learning import checkpoint, linear_start, losses, optimiser, pictures, start
from extract.learning.checkpoint import Position
from extract.learning.losses import JointTarget, Target
from extract.learning.network import FineTunedNetwork
from extract.learning.pictures import LabelledPictures, Unreadable
from extract.learning.recipe import Recipe
from extract.learning.start import Start
from extract.runtime.errors import InputError
from extract.runtime.process import thread_limit
from extract.runtime.progress import Progress, progress, steps

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
Score = Callable[[NDArray[np.generic], NDArray[np.float32]], float]


@dataclass(frozen=True)
class Run:
    """All that one run of fine-tuning is made from."""

    name: str
    start: Start
    target: Target | JointTarget
    recipe: Recipe
    train: LabelledPictures
    dev: LabelledPictures
    """Frames of videos that are in none of `train`: they choose the epoch."""
    seed: int
    folder: Path
    """Where checkpoints go."""
    mark: str
    """Fingerprint of all that decides the result."""
    score: Score
    """Truth and scores of the dev frames -> what the best epoch has most of."""
    metric: str = "score"
    """What `score` is called."""
    title: str = ""
    """What progress calls the run; empty: its name."""
    groups: NDArray[np.int64] | None = None
    """[N] of `train`: the recordings or people that pictures are of; None: each video is one."""

    @property
    def epochs(self) -> int:
        """Of the output layer alone, and of all, together."""
        return self.recipe.head_epochs + self.recipe.epochs


def fine_tune(run: Run) -> tuple[FineTunedNetwork, Position]:
    """Fine-tune, or go on where a killed process of the same mark was; returns the network of the best epoch, in
    evaluation mode on the CPU, and what was found. Raises InputError for weights that do not fit, a loss that is not
    finite, a GPU without room, and where no picture can be read.
    """
    if (threads := thread_limit()) is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(run.seed)
    learner, best = _Learner(run), run.folder / BEST
    with warnings.catch_warnings(), steps(f"finetune {run.title or run.name}", ("start", "learn")):
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged EXIF data and the like, without a file's name
        optimiser.explain_no_room(learner.learn, learner.no_room_error)
    kept = checkpoint.read_position(best, run.mark)
    if kept is None or kept.epoch != learner.position.best:
        raise InputError(
            f"{best}: changed while the run learnt, expected its weights of epoch {learner.position.best}; run the "
            f"same command again: it begins anew"
        )
    network = learner.network.cpu()
    checkpoint.load(best, network)
    return network.eval(), learner.position


class _Learner:
    """A network on its way."""

    def __init__(self, run: Run) -> None:
        self.run, self.device = run, optimiser.choose_device(run.recipe.device, "finetune")
        body, width = start.build(run.start)
        values, logits = (
            sum(len(part.outputs) for part in run.target.parts if (part.labels == "regression") is wanted)
            for wanted in (True, False)
        )
        self.network = FineTunedNetwork(body, width, values + logits, values, run.recipe.bounded)
        self.network.to(self.device)
        self.loss = losses.create_loss(run.target, run.recipe.smoothing, self.device)
        self.follows_batch = not run.recipe.frozen_norm and bool(self.network.list_batch_norms())
        self.at_once = run.recipe.count_at_once(self.device, self.follows_batch)
        if run.recipe.micro_batch is not None and self.at_once > run.recipe.micro_batch:
            key = f"finetune.{run.name}"
            raise InputError(
                f"{key}.micro_batch = {run.recipe.micro_batch} of {run.recipe.batch}, but with {key}.frozen_norm = "
                f"false the network's BatchNorm follows the whole batch; leave one of them out"
            )
        self.position, self.unreadable = Position(run.mark), Unreadable()
        self.kept: Position | None = None
        """Of the best network's file, as a run that goes on has found it."""
        self.optimiser = self._create_optimiser(0)

    def learn(self) -> None:
        """Begin, or go on, to the end of the last epoch."""
        run = self.run
        self.begin()
        left = run.epochs * len(run.train) - self.position.seen
        with progress(f"learn {run.title or run.name}", left, "pictures") as bar:
            while self.position.epoch < run.epochs:
                self.learn_epoch(bar)

    def begin(self) -> None:
        """Go on from a checkpoint; without one, fit the output layer and write the first."""
        path = self.run.folder / CHECKPOINT
        there, kept = (checkpoint.read_position(self.run.folder / file, self.run.mark) for file in (CHECKPOINT, BEST))
        if there is not None and kept is not None and kept.epoch in (there.best, there.epoch + 1):
            self.position, self.unreadable = there, Unreadable(there.unreadable, there.sizes)
            self.kept = kept
            self.optimiser = self._create_optimiser(there.epoch)
            fresh = there.step == 0 and there.epoch == self.run.recipe.head_epochs
            checkpoint.load(path, self.network, None if fresh else self.optimiser)
            return
        if self.run.recipe.start == "linear":
            self._fit_head()
        self._keep_score()
        self._save()

    def learn_epoch(self, bar: Progress) -> None:
        """The steps that are left of an epoch, then the dev slice."""
        run, recipe, here = self.run, self.run.recipe, self.position
        if here.epoch == recipe.head_epochs and here.step == 0:
            self.optimiser = self._create_optimiser(here.epoch)
        rows = pictures.draw_order(run.train, run.seed, here.epoch, recipe.shuffle)
        steps = -(-len(rows) // recipe.batch)
        if here.step < steps:
            left = rows[here.step * recipe.batch :]
            flips = pictures.draw_flips(run.train, run.seed, here.epoch) if recipe.flip else None
            stream = pictures.read_batches(run.train, left, recipe.batch, run.start.network, self.unreadable, flips)
            for values, chosen in stream:
                self._learn_batch(values, chosen, steps)
                size = min(recipe.batch, len(rows) - (here.step - 1) * recipe.batch)
                here.seen += size
                note = f"epoch {here.epoch + 1} of {run.epochs}, dev {run.metric} {here.scores[-1]:.4f}"
                bar.advance(size, note)
                if here.step % recipe.save_every == 0 or here.step == steps:
                    self._save()
        if not here.learnt:
            raise self._unread_error(run.train, rows)
        here.losses.append(here.loss_sum / max(here.learnt, 1))
        here.epoch, here.step, here.learnt, here.loss_sum = here.epoch + 1, 0, 0, 0.0
        self._keep_score()
        self._save()

    def _learn_batch(self, values: NDArray[np.float32], chosen: NDArray[np.int64], steps: int) -> None:
        """One step of the optimiser, unless none of the batch's pictures could be read."""
        run, here = self.run, self.position
        head_alone = here.epoch < run.recipe.head_epochs
        here.step += 1
        if len(chosen) < (1 if run.recipe.frozen_norm else 2):  # a BatchNorm that learns needs two
            return
        self.network.set_training(run.recipe.frozen_norm, head_alone)
        try:
            here.loss_sum += self._take_step(torch.from_numpy(values), run.train.truth[chosen], self.at_once)
        except optimiser.NotFinite as error:
            key, rate = ("head_rate", run.recipe.head_rate) if head_alone else ("rate", run.recipe.rate)
            held = f"its best weights so far (of {f'epoch {here.best}' if here.best else 'the start'})"
            raise checkpoint.not_finite_error(
                error, f"finetune.{run.name}.{key}", rate, here, steps, run.folder / BEST, held
            ) from None
        here.learnt += 1

    def _take_step(self, values: torch.Tensor, labels: NDArray[np.generic], at_once: int) -> float:
        """One step of the optimiser on a batch, with memory for `at_once` of its pictures; returns the loss."""
        x, truth = values.to(self.device), torch.from_numpy(np.ascontiguousarray(labels)).to(self.device)
        return optimiser.take_step(
            lambda: optimiser.add_in_parts(
                lambda part: self._outputs(part)[1], self.loss, x, truth, at_once, self.run.target.loss_is_mean
            ),
            self.optimiser,
            self.run.recipe.sam,
        )

    def _outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding and outputs side by side, float32."""
        with self._autocast():
            embedding, *outputs = self.network(x)
        return embedding.float(), torch.cat(outputs, 1).float()

    def _autocast(self) -> AbstractContextManager[Any]:
        mixed = self.device == "cuda" and self.run.recipe.precision == "bf16"
        return torch.autocast(self.device, torch.bfloat16, enabled=mixed)

    def _predict(
        self, data: LabelledPictures, rows: NDArray[np.int64], embed: bool = False, bar: Progress | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Outputs (or, to `embed`, embeddings) of pictures as they are, and which rows they are of; nothing learns."""
        recipe, results, seen = self.run.recipe, [], []
        size = recipe.micro_batch or recipe.batch  # not a CPU's 16: 64 of them give other last bits than parts do
        self.network.eval()
        with torch.inference_mode():
            for values, chosen in pictures.read_batches(
                data, rows, recipe.batch, self.run.start.network, self.unreadable
            ):
                if bar is not None:
                    bar.advance(len(chosen))
                for part in torch.from_numpy(values).split(size) if len(chosen) else ():
                    embedding, outputs = self._outputs(part.to(self.device))
                    results.append((embedding if embed else outputs).cpu().numpy())
                seen.append(chosen)
        if not results:
            raise self._unread_error(data, rows)
        return np.concatenate(results), np.concatenate(seen)

    def _fit_head(self) -> None:
        """Fit the output layer to frozen embeddings of some pictures. A third of their recordings or people chooses
        each part's penalty: the dev slice, which chooses the epoch, would favour a start that it has chosen, too.
        """
        run, bounded, title = self.run, self.run.recipe.bounded, self.run.title or self.run.name
        rows = pictures.space_evenly(len(run.train), run.recipe.start_pictures)
        with progress(f"start {title}", len(rows), "pictures") as bar:
            embeddings, seen = self._predict(run.train, rows, True, bar)
        truth, groups = run.train.truth[seen], (run.train.video if run.groups is None else run.groups)[seen]
        chosen = []
        with progress(f"start {title}", len(run.target.parts) * (len(linear_start.PENALTIES) + 1), "fits") as bar:
            for number, (labelled, labels) in enumerate(run.target.split(truth)):
                x, part, held = embeddings[labelled], run.target.parts[number], linear_start.hold_out(groups[labelled])
                outputs, scores = np.zeros((held.sum(), self.network.head.out_features), np.float32), []
                own = losses.split_outputs(run.target, outputs)[number]
                for penalty in linear_start.PENALTIES:
                    layer = linear_start.fit(x[~held], labels[~held], part, bounded, penalty)
                    linear = (x[held] @ layer[0].T + layer[1]).astype(np.float32)
                    own[:] = np.tanh(linear) if part.labels == "regression" and bounded else linear
                    scores.append(self._score(truth[labelled][held], outputs) if held.any() else 0.0)
                    bar.advance()
                best = linear_start.PENALTIES[int(np.argmax(scores))]
                chosen.append(linear_start.fit(x, labels, part, bounded, best))
                bar.advance()
        linear_start.set_head(self.network, *(np.concatenate(parameters) for parameters in zip(*chosen, strict=True)))

    def _score(self, truth: NDArray[np.generic], outputs: NDArray[np.float32]) -> float:
        """What the best epoch has most of, for outputs of the rows that this truth is of."""
        target = self.run.target
        parts = zip(target.parts, losses.split_outputs(target, outputs), strict=True)
        scores = np.concatenate([losses.compute_scores(part.labels, own) for part, own in parts], axis=1)
        return float(self.run.score(truth, scores))

    def _keep_score(self) -> None:
        """Score the dev slice after an epoch (or before the first); the best network so far is kept in a file."""
        here, kept = self.position, self.kept
        if kept is not None and kept.epoch == here.epoch:  # killed right after: a GPU might score it otherwise now
            here.scores.append(kept.scores[-1])
            return
        outputs, seen = self._predict(self.run.dev, np.arange(len(self.run.dev)))
        here.scores.append(self._score(self.run.dev.truth[seen], outputs))
        if here.best == here.epoch:
            checkpoint.save(self.run.folder / BEST, self.network, Position(here.mark, here.epoch, scores=here.scores))

    def _create_optimiser(self, epoch: int) -> torch.optim.Optimizer:
        recipe = self.run.recipe
        head_alone = epoch < recipe.head_epochs
        rate = recipe.head_rate if head_alone else recipe.rate
        return optimiser.create_optimiser(self.network, rate, recipe.decay, recipe.layer_decay, head_alone)

    def _save(self) -> None:
        self.position.unreadable = dict(sorted(self.unreadable.reasons.items()))
        self.position.sizes = dict(sorted(self.unreadable.sizes.items()))
        checkpoint.save(self.run.folder / CHECKPOINT, self.network, self.position, self.optimiser)

    def _unread_error(self, data: LabelledPictures, rows: NDArray[np.int64]) -> InputError:
        """What to raise where no row of `data` gives a batch: names a picture of these rows that cannot be read."""
        reasons = self.unreadable.reasons
        path = next((path for path in (str(data.path(row)) for row in sorted(rows)) if path in reasons), None)
        if path is None:
            return InputError(f"{data.path(0)}: too few pictures for one step; raise finetune.{self.run.name}.batch")
        return InputError(f"{path}: {reasons[path]}; too few of {len(rows)} pictures can be read: replace them")

    def no_room_error(self) -> InputError:
        """What to raise where a GPU has no room for the pictures at once: says how many fit, by steps of fewer in which
        all parameters learn. They are of no use afterwards.
        """
        run, recipe, size = self.run, self.run.recipe, self.run.start.network.size
        self.optimiser = self._create_optimiser(recipe.head_epochs)
        self.network.set_training(recipe.frozen_norm, head_alone=False)

        def try_step(n: int) -> None:
            labels = run.train.truth[: n if self.follows_batch else recipe.batch]
            self._take_step(torch.randn(len(labels), 3, size, size), labels, n)

        key, least = ("batch", 2) if self.follows_batch else ("micro_batch", 1)
        return optimiser.no_room_error(f"finetune.{run.name}.{key}", try_step, self.optimiser, self.at_once, least)
