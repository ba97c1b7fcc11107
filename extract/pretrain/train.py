"""The loop of pre-training: steps, checkpoints, and how well held-out pictures are reconstructed.

    model, position, baselines = pretrain(run)

Killed at any moment, it goes on from the last checkpoint, to the same bytes (on a CPU, with as many threads).
"""

from __future__ import annotations

import math
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from extract.config import PretrainSettings
from extract.learning import checkpoint, optimiser, pictures
from extract.learning.checkpoint import Position
from extract.learning.pictures import Pictures, Unreadable
from extract.networks.registry import Network
from extract.pretrain import autoencoder, images
from extract.runtime.errors import InputError
from extract.runtime.process import thread_limit
from extract.runtime.progress import Progress, progress, steps

CHECKPOINT = "checkpoint.safetensors"
BUFFER = 20_000
"""Rows in the buffer that shuffles the stream of folders' pieces."""
BETAS = (0.9, 0.95)
TOKENS = ("cls_token", "mask_token", "position_embeddings", "decoder_pos_embed")
"""In names of parameters that weight decay is kept from."""
MOST_AT_ONCE = 256
"""Whole pictures that are reconstructed at once, however large a batch is."""
HELD_OUT = 2**40
"""The number of an epoch that never comes: held-out pictures have the same masks after every one."""


@dataclass(frozen=True)
class Run:
    """All that one run of pre-training is made from."""

    name: str
    settings: PretrainSettings
    train: Pictures
    held_out_pictures: Pictures
    """Pictures that are only reconstructed."""
    seed: int
    folder: Path
    """Where checkpoints go."""
    mark: str
    """Fingerprint of all that decides the result."""

    @property
    def patches(self) -> int:
        """How many a picture has."""
        return (self.settings.size // self.settings.patch) ** 2

    def describe_network(self) -> Network:
        """The facts of the network that is left."""
        file = f"{self.name}.onnx"
        return Network(self.name, self.settings.size, file=file, classifier=False, embedding="embedding")


@dataclass(frozen=True)
class Baselines:
    """Loss of the held-out pictures by what knows less than the model does."""

    mean_picture: float
    """The mean of training pictures."""
    visible_mean: float
    """For each picture the mean of its visible patches."""


def pretrain(run: Run) -> tuple[Any, Position, Baselines]:
    """Pre-train, or go on where a killed process of the same mark was; returns the model in evaluation mode on the CPU,
    losses of epochs and of held-out pictures (`scores`), and what these compare with. Raises InputError for a loss that
    is not finite, a GPU without room, and where no picture can be read.
    """
    if (threads := thread_limit()) is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(run.seed)
    learner = _Learner(run)
    with warnings.catch_warnings(), steps(f"pretrain {run.name}", ("start", "learn")):
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged EXIF data and the like, without a file's name
        optimiser.explain_no_room(learner.learn, learner.no_room_error)
    assert learner.baselines is not None
    return learner.model.cpu().eval(), learner.position, learner.baselines


def compute_rate(settings: PretrainSettings, step: int, steps: int) -> float:
    """The learning rate of a step, counted over all epochs of so many steps: up from 0, then half a cosine to 0."""
    highest, epoch = settings.rate * settings.batch / 256, step / steps
    if epoch < settings.warm_up:
        return highest * epoch / settings.warm_up
    rest = max(settings.epochs - settings.warm_up, 1e-9)
    return highest * 0.5 * (1 + math.cos(math.pi * min((epoch - settings.warm_up) / rest, 1)))


class _Learner:
    """A model on its way."""

    def __init__(self, run: Run) -> None:
        self.run, self.device = run, optimiser.choose_device(run.settings.device, f"pretrain.{run.name}")
        self.model = autoencoder.create(run.settings).to(self.device)
        self.facts = run.describe_network()
        self.position, self.unreadable = Position(run.mark), Unreadable()
        self.baselines: Baselines | None = None
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        decays = [p for name, p in named if p.ndim > 1 and not name.endswith(TOKENS)]
        others = [p for name, p in named if p.ndim <= 1 or name.endswith(TOKENS)]
        groups = [{"params": others, "weight_decay": 0.0}, {"params": decays, "weight_decay": run.settings.decay}]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, betas=BETAS)

    def learn(self) -> None:
        """Begin, or go on, to the end of the last epoch."""
        run = self.run
        self.begin()
        left = run.settings.epochs * len(run.train) - self.position.seen
        with progress(f"learn {run.name}", left, "pictures") as bar:
            while self.position.epoch < run.settings.epochs:
                self.learn_epoch(bar)

    def begin(self) -> None:
        """Go on from a checkpoint; without one, reconstruct the held-out pictures and write the first."""
        path = self.run.folder / CHECKPOINT
        there = checkpoint.read_position(path, self.run.mark)
        if there is not None:
            self.position, self.unreadable = there, Unreadable(there.unreadable, there.sizes)
            fresh = there.step == 0 and there.epoch == 0
            checkpoint.load(path, self.model, None if fresh else self.optimiser)
        self.baselines = self._compute_baselines()
        if there is None:
            self.position.scores.append(self._reconstruct())
            self._save()

    def learn_epoch(self, bar: Progress) -> None:
        """The steps that are left of an epoch, then the held-out pictures."""
        run, s, here = self.run, self.run.settings, self.position
        assert self.baselines is not None
        rows = pictures.draw_order(run.train, run.seed, here.epoch, BUFFER)
        steps = -(-len(rows) // s.batch)
        left = rows[here.step * s.batch :]
        for values, chosen in pictures.read_batches(run.train, left, s.batch, self.facts, self.unreadable):
            self._learn_batch(values, chosen, steps)
            size = min(s.batch, len(rows) - (here.step - 1) * s.batch)
            here.seen += size
            known = f"held-out loss {here.scores[-1]:.4f} (mean picture {self.baselines.mean_picture:.4f})"
            bar.advance(size, f"epoch {here.epoch + 1} of {s.epochs}, {known}")
            if here.step % s.save_every == 0 and here.step < steps:
                self._save()
        if not here.learnt:
            path = run.train.path(0)
            raise InputError(f"{path}: no picture can be read ({self.unreadable.reasons.get(str(path))}); replace them")
        here.losses.append(here.loss_sum / here.learnt)
        here.epoch, here.step, here.learnt, here.loss_sum = here.epoch + 1, 0, 0, 0.0
        here.scores.append(self._reconstruct())
        self._save()

    def _learn_batch(self, values: NDArray[np.float32], chosen: NDArray[np.int64], steps: int) -> None:
        """One step of the optimiser, unless none of the batch's pictures could be read."""
        run, s, here = self.run, self.run.settings, self.position
        here.step += 1
        if not len(chosen):
            return
        views = images.draw_views(chosen, run.patches, run.seed, here.epoch, s.crop, s.flip)
        x = images.show(torch.from_numpy(values).to(self.device), views)
        noise = torch.from_numpy(views.noise).to(self.device)
        for group in self.optimiser.param_groups:
            group["lr"] = compute_rate(s, here.epoch * steps + here.step, steps)
        try:
            here.loss_sum += self._take_step(x, noise)
        except optimiser.NotFinite as error:
            key, path = f"pretrain.{run.name}.rate", run.folder / CHECKPOINT
            raise checkpoint.not_finite_error(error, key, s.rate, here, steps, path, "its last good weights") from None
        here.learnt += 1

    def _take_step(self, x: torch.Tensor, noise: torch.Tensor) -> float:
        """One step of the optimiser; returns the loss."""
        self.model.train()
        return optimiser.take_step(
            lambda: optimiser.add_gradient(self._run_model(x, noise).loss.float()), self.optimiser, 0.0
        )

    def _run_model(self, x: torch.Tensor, noise: torch.Tensor) -> Any:
        with self._autocast():
            return self.model(pixel_values=x, noise=noise)

    def _autocast(self) -> AbstractContextManager[Any]:
        mixed = self.device == "cuda" and self.run.settings.precision == "bf16"
        return torch.autocast(self.device, torch.bfloat16, enabled=mixed)

    def _reconstruct(self) -> float:
        """Mean loss of the held-out pictures."""
        total = count = 0.0
        self.model.eval()
        with torch.inference_mode():
            for x, noise in self._read_whole(self.run.held_out_pictures):
                total += float(self._run_model(x, noise).loss) * len(x)
                count += len(x)
        return total / count

    def _compute_baselines(self) -> Baselines:
        """What is reached without a model; see `Baselines`."""
        self.model.eval()
        with torch.inference_mode():
            total, count = torch.zeros((), dtype=torch.float64, device=self.device), 0
            for x, _ in self._read_whole(self.run.train):
                total = total + autoencoder.compute_target(self.model, x).double().sum(0)
                count += len(x)
            mean, errors, count = (total / count).float(), np.zeros(2), 0
            for x, noise in self._read_whole(self.run.held_out_pictures):
                target = autoencoder.compute_target(self.model, x)
                mask = self.model.vit.embeddings.random_masking(target, noise)[1]
                seen = (1 - mask)[:, :, None]
                visible = (target * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
                for i, guess in enumerate((mean, visible)):
                    loss = ((target - guess) ** 2).mean(-1)
                    errors[i] += float((loss * mask).sum() / mask.sum()) * len(x)
                count += len(x)
        return Baselines(*(errors / count).tolist())

    def _read_whole(self, data: Pictures) -> Any:
        """Batches of evenly spaced whole pictures, and the noise of their masks."""
        run, some = self.run, False
        rows = pictures.space_evenly(len(data), run.settings.held_out_pictures)
        size = min(run.settings.batch, MOST_AT_ONCE)
        for values, chosen in pictures.read_batches(data, rows, size, self.facts, self.unreadable):
            if len(chosen):
                some = True
                noise = images.draw_views(chosen, run.patches, run.seed, HELD_OUT).noise
                yield torch.from_numpy(values).to(self.device), torch.from_numpy(noise).to(self.device)
        if not some:
            path = data.path(rows[0])
            raise InputError(f"{path}: {self.unreadable.reasons[str(path)]}; none of {len(rows)} can be read")

    def _save(self) -> None:
        self.position.unreadable = dict(sorted(self.unreadable.reasons.items()))
        self.position.sizes = dict(sorted(self.unreadable.sizes.items()))
        checkpoint.save(self.run.folder / CHECKPOINT, self.model, self.position, self.optimiser)

    def no_room_error(self) -> InputError:
        """What to raise where a GPU has no room for a batch: says which would fit, by steps of smaller ones. The model
        is of no use afterwards.
        """
        run, size = self.run, self.run.settings.size

        def try_step(n: int) -> None:
            x, noise = (torch.randn(n, *shape, device=self.device) for shape in ((3, size, size), (run.patches,)))
            self._take_step(x, noise)

        return optimiser.no_room_error(f"pretrain.{run.name}.batch", try_step, self.optimiser, run.settings.batch)
