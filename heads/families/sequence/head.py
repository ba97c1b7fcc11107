"""The sequence family: an encoder over the features of consecutive frames, in torch.

As published (Nguyen et al., ABAW-5, arXiv 2303.09293): frozen features of consecutive frames -> linear layer -> encoder
of N layers and h heads -> one output per frame; the mean of several encoders is better than each. `shapes` are the
(N, h) of one head, `members` the seeds of each shape: their mean is one head. Dilated convolutions and a bidirectional
GRU are other kinds of encoders, as many winners' ensembles have them beside a Transformer. Added: positions by real
frame numbers, predictions of overlapping clips averaged, augmentation of features, the best epoch chosen on by-video
dev rows.
"""

from __future__ import annotations

from collections import abc
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from extract.runtime import run_folder
from extract.runtime.run_folder import write_json
from heads.base import scaling, selection
from heads.base.head import Head, HeadSettings, OnProgress, _quiet, share_progress
from heads.data.arrays import read_tensors, require_shapes, write_tensors
from heads.data.table import LabelledRows, Rows

if TYPE_CHECKING:
    from heads.families.sequence.augment import Augmentation
    from heads.families.sequence.layers import Shape
    from heads.families.sequence.network import Encoder, Stream
    from heads.families.sequence.training import Training, TrainingConfig


MOST_LAYERS = 12
"""Of a tcn: the next would look beyond any clip."""


class SequenceSettings(HeadSettings):
    """Settings of a sequence head."""

    family: Literal["sequence", "fusion"] = "sequence"
    kind: Literal["transformer", "tcn", "bigru"] = "transformer"
    """What looks at other frames: attention; a dilated temporal convolutional network, which knows only distances in
    time, and sees 4 * 2 ** layers - 3 frames (253 with six layers); or a bidirectional GRU, which knows their order.
    """
    shapes: list[tuple[int, int]] = Field(default=[(4, 4)], min_length=1)
    """(layers, attention heads) of each encoder; their scores are averaged. Other kinds have no heads: 1."""
    members: int = Field(default=1, ge=1)
    """Encoders of each shape, with different seeds."""
    width: int = Field(default=256, ge=2)
    """Of what each stream of columns is projected to; for `sequence`, which has one, the encoder's width."""
    feedforward: int = Field(default=1024, ge=1)
    """Units between the two linear layers of a Transformer's layer."""
    norm_first: bool = True
    """Normalise before attention, not behind it; other kinds always do."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    clip: int = Field(default=100, ge=2, le=4096)
    """Frames that look at each other."""
    step: int = Field(default=1, ge=1)
    """Only every step-th frame is in a clip, which then reaches as many times further; all frames are predicted, each
    beside its own. An epoch learns from one step-th of the frames.
    """
    overlap: float = Field(default=0.5, ge=0, lt=1)
    """The part of a clip that it shares with the next one where frames are predicted."""
    epochs: int = Field(default=20, ge=1)
    min_steps: int = Field(default=0, ge=0)
    """Small corpora get more epochs, until this many batches were learnt from."""
    batch: int = Field(default=32, ge=1)
    """Clips."""
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    logits_times: float = Field(default=1.0, gt=0)
    """Columns that stand beside an embedding (logits, va, temporal) count this many times, once standardised."""
    noise: float = Field(default=0.0, ge=0)
    """Augmentation: Gaussian noise on features, in deviations of a column."""
    masked: float = Field(default=0.0, ge=0, lt=0.5)
    """Augmentation: the part of a clip whose features are hidden, in one span."""
    dropped: float = Field(default=0.0, ge=0, lt=1)
    """Augmentation: the part of frames that are taken out."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of learning: auto is bf16 on a GPU, fp32 on the CPU. Predictions are always made in fp32."""

    @field_validator("stride")
    @classmethod
    def _whole(cls, value: int) -> int:
        if value != 1:
            raise ValueError("a sequence is of consecutive frames; set `step` to look at every n-th of them")
        return value

    @model_validator(mode="after")
    def _divisible(self) -> SequenceSettings:
        for layers, heads in self.shapes:
            if self.kind != "transformer" and (heads != 1 or self.width % 2):
                raise ValueError(f"a {self.kind} has shapes [layers, 1] and an even width, not [{layers}, {heads}]")
            if self.kind == "tcn" and layers > MOST_LAYERS:
                raise ValueError(f"a tcn of {layers} layers: {MOST_LAYERS} see 16,381 frames")
            if layers < 1 or heads < 1 or self.width % heads:
                raise ValueError(
                    f"shapes are [layers, heads], 1 or more, and the heads divide the width {self.width}; [{layers}, "
                    f"{heads}] does not fit"
                )
        return self


class Sequence(Head):
    """One or several encoders on the same clips; their scores are averaged."""

    Settings: ClassVar[type[SequenceSettings]] = SequenceSettings
    streams = True
    in_time = True
    gpu = True
    settings: SequenceSettings
    models: list[Encoder]

    def streams_of(self, rows: Rows) -> tuple[Stream, ...]:
        """The groups of columns that are projected apart: here all together."""
        from heads.families.sequence.network import Stream

        return (Stream("all", 0, rows.width),)

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. Without dev rows the last epoch is kept."""
        from heads.families.sequence import training as sequence_training

        self.epochs = self.settings.epochs  # `_course` is of these
        steps = sequence_training.steps_per_epoch(train.rows, self.settings.clip, self._course())
        self.epochs = max(self.settings.epochs, -(-self.settings.min_steps // steps))
        self.best_epochs = [self.epochs] * self.settings.members * len(self.settings.shapes)
        bests = self._fit(train, dev, seed, on_progress)
        self.best_epochs = [epoch for epoch, _ in bests]
        return {
            "best_epoch": self.best_epochs,
            "epochs": self.epochs,
            "steps_per_epoch": steps,
            "selection": selection.SELECTION[self.task.labels],
            "selection_score": [score for _, score in bests],
            "parameters": [sum(p.numel() for p in model.parameters()) for model in self.models],
            "device": sequence_training.device().type,
        }

    def refit(self, rows: LabelledRows, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit: from the start again, each encoder up to its best epoch."""
        self._fit(rows, rows.take(np.empty(0, np.int64)), seed, on_progress)

    def _fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress
    ) -> list[tuple[int, float | None]]:
        """Train all encoders, one after another, up to `best_epochs`; returns each one's (best epoch, its score)."""
        self.parts = self.streams_of(train.rows)
        self.moments = self._moments(train.rows)
        self.models, bests = [], []
        count = len(self.best_epochs)
        for number, shape in enumerate(self._shapes()):
            training = self._training(train, shape, seed * 1000 + number)
            told = share_progress(on_progress, number / count, 1 / count)
            bests.append(training.run(dev, self.best_epochs[number], told))
            self.models.append(training.model)
        return bests

    def training(self, train: LabelledRows, epochs: int, seed: int) -> Training:
        """The first encoder on its way to learn for `epochs`: for whoever wants to learn an epoch at a time."""
        self.epochs, self.parts = epochs, self.streams_of(train.rows)
        self.moments = self._moments(train.rows)
        return self._training(train, self._shapes()[0], seed * 1000)

    def _training(self, train: LabelledRows, shape: Shape, seed: int) -> Training:
        from heads.families.sequence import network as sequence_network
        from heads.families.sequence import training as sequence_training

        sequence_training.quiet_torch()
        model = sequence_network.build(self.parts, shape, len(self.task.outputs), self.moments, seed)
        return sequence_training.Training(self.task, model, self._course(), train, seed)

    def _moments(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation of each column, as the features are standardised with."""
        mean, deviation = scaling.moments(rows)
        return mean, deviation / scaling.block_scales(
            rows, scaling.BlockScales.make_uniform(self.settings.logits_times)
        )

    def _shapes(self) -> list[Shape]:
        """Of each encoder: all seeds of the first shape, then of the next."""
        from heads.families.sequence.layers import Shape

        s = self.settings
        width = s.width * len(self.parts)
        return [
            Shape(layers, heads, width, s.feedforward, s.clip, s.dropout, s.norm_first, s.kind)
            for layers, heads in s.shapes
            for _ in range(s.members)
        ]

    def _course(self) -> TrainingConfig:
        """How the encoders learn and predict."""
        from heads.families.sequence import training as sequence_training

        s = self.settings
        half = s.precision == "bf16" or (s.precision == "auto" and sequence_training.device().type == "cuda")
        augmentation = self._augmentation()
        return sequence_training.TrainingConfig(
            self.epochs, s.batch, s.learning_rate, s.weight_decay, s.balance, s.step, s.overlap, augmentation, half
        )

    def _augmentation(self) -> Augmentation:
        from heads.families.sequence.augment import Augmentation

        return Augmentation(self.settings.noise, self.settings.masked, self.settings.dropped)

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict: the encoders' mean."""
        from heads.families.sequence import training as sequence_training

        sequence_training.quiet_torch()
        where, course = sequence_training.device(), self._course()
        total = np.zeros((len(rows), len(self.task.outputs)))
        for model in self.models:
            total += sequence_training.predict_rows(model.to(where), self.task, rows, course)
            model.to("cpu")
        return (total / len(self.models)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Weights and moments as one safetensors file, and a note of the rest."""
        arrays = {
            f"{i}.{name}": value.numpy()
            for i, model in enumerate(self.models)
            for name, value in model.state_dict().items()
            if name not in ("mean", "deviation")
        }
        arrays |= {"mean": self.moments[0], "deviation": self.moments[1]}
        write_tensors(folder / "encoders.safetensors", arrays)
        write_json(folder / "sequence.json", {"epochs": self.epochs, "streams": [asdict(part) for part in self.parts]})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        import torch

        from heads.families.sequence import layers as sequence_layers
        from heads.families.sequence import network as sequence_network

        about = run_folder.read_json(folder / "sequence.json", "make the head anew")
        self.epochs, self.parts = about["epochs"], tuple(sequence_network.Stream(**raw) for raw in about["streams"])
        arrays = read_tensors(folder / "encoders.safetensors")
        self.moments = arrays["mean"], arrays["deviation"]
        require_shapes(arrays, dict.fromkeys(("mean", "deviation"), (len(self.moments[0]),)), "encoders.safetensors")
        sequence_network.check_streams(self.parts, len(self.moments[0]))
        encoders = len({name.partition(".")[0] for name in arrays} - {"mean", "deviation"})
        if len(self.settings.shapes) * self.settings.members != encoders:
            raise ValueError(f"encoders.safetensors: {encoders} encoders, model.json says others")
        self.models = []
        for i, shape in enumerate(self._shapes()):
            own = {k.removeprefix(f"{i}."): v for k, v in arrays.items() if k.startswith(f"{i}.")}
            layers = len({name.split(".")[1] for name in own if name.startswith("layers.")})
            if layers != shape.layers:
                raise ValueError(f"encoders.safetensors: {layers} layers, expected {shape.layers}")
            name, size = sequence_layers.largest(shape)
            require_shapes(
                own, {name: size, "out.weight": (len(self.task.outputs), shape.width)}, "encoders.safetensors"
            )
            model = sequence_network.build(self.parts, shape, len(self.task.outputs), self.moments, 0)
            moments = {name: torch.from_numpy(arrays[name]) for name in ("mean", "deviation")}
            model.load_state_dict({name: torch.from_numpy(values) for name, values in own.items()} | moments)
            self.models.append(model)

    def check(self, columns: abc.Sequence[str]) -> None:
        """See Head.check: torch would stretch a single column."""
        if len(columns) != len(self.moments[0]):
            raise ValueError(f"encoders.safetensors: of {len(self.moments[0])} columns, model.json has {len(columns)}")
        super().check(columns)
