"""A network by itself in a blend's place: its own expressions, valence and arousal, with nothing learnt or weighed.

`find` says what a network has and refuses one that has nothing to say; its features become predictions as those of a
head of family "pretrained" do, of weight 1, without smoothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blend import apply
from blend.predict import features as video_features
from blend.predict.trained_blends import TrainedBlend, VideoHead
from extract import config as configs
from extract.config import Config
from extract.networks import registry, weights
from extract.networks.registry import NETWORKS, Network
from extract.runtime import run_folder
from extract.runtime.errors import InputError, did_you_mean
from heads.abaw.tasks import TASKS, Task

if TYPE_CHECKING:
    from heads.data.predictions import Predictions
    from heads.data.table import Rows, Source
    from heads.train.model import Model

KINDS = {"expr": "logits", "va": "va"}
"""What a task's predictions are, of all that a network gives."""


@dataclass(frozen=True)
class NetworkHead:
    """The head that a network is without training; whether its logits are probabilities is seen in the videos."""

    task: Task
    network: str

    def predict_videos(self, work: Path, videos: Sequence[str]) -> Predictions:
        """Predict every frame of these videos that has features below `work`."""
        from heads.data import table

        return self.model(table.load(work, self.sources, videos)).predict_videos(work, videos)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it reads."""
        from heads.data.table import Source

        return (Source(self.network, (KINDS[self.task.name],)),)

    def model(self, rows: Rows) -> Model:
        """The head of such rows."""
        from heads.data.temporal import TemporalColumns
        from heads.families.pretrained_head import PretrainedHead, PretrainedSettings
        from heads.train.model import Model

        settings = PretrainedSettings(networks=[self.network], inputs=[KINDS[self.task.name]])
        head = PretrainedHead(self.task, settings)
        head.prepare(rows)
        return Model(head, self.sources, TemporalColumns(), tuple(rows.columns))


@dataclass(frozen=True)
class PretrainedBlend(TrainedBlend):
    """One task of a network, where a trained blend could stand. Its folder is only a name: there is none."""

    file: str = ""
    """The hash of the network's file, where it is the user's own."""

    @cached_property
    def models(self) -> Mapping[str, VideoHead]:
        """The network as a head."""
        return {self.pretrained_network: NetworkHead(self.task, self.pretrained_network)}

    @cached_property
    def mark(self) -> dict[str, Any]:
        """What decides its predictions."""
        return {"pretrained": self.pretrained_network, "file": self.file}


def find(name: str, config: Path | None) -> tuple[list[TrainedBlend], dict[str, Any]]:
    """A network's tasks as blends, and the sections of a config that know it (`features.settings`).

    Raises InputError for a network that is not known, whose file is not at hand, or that gives neither the logits of
    known expressions nor valence and arousal.
    """
    known = (
        Config.model_validate({"corpus": {"name": "pretrained"}}) if config is None else configs.load(Config, config)
    )
    names = [*NETWORKS, *known.networks]
    if name not in names:
        raise InputError(
            f"--pretrained {name}: no such network, expected one of {', '.join(names)}; your own goes with --config "
            f"and a TOML file that has [networks.{name}]{did_you_mean(name, names)}"
        )
    network = registry.find(name, known)
    tasks = _tasks(network)
    weights.fetch_missing([network], known.features.weights)
    own = run_folder.file_hash(network.path) if network.path is not None else ""
    sections = video_features.read_sections(known)
    sections["features"] = {**sections["features"], "networks": [name]}
    return [_blend(task, name, own) for task in tasks], {key: section for key, section in sections.items() if section}


def _tasks(network: Network) -> list[Task]:
    """The tasks that a network answers. Raises InputError where there is none."""
    from heads.families.pretrained_head import MEANS, list_strange

    classes = network.classes or ()
    strange = list_strange(classes)
    answers = {"expr": "logits" in network.kinds and bool(classes) and not strange, "va": "va" in network.kinds}
    if any(answers.values()):
        return [TASKS[task] for task, answered in answers.items() if answered]
    gives = f"classes such as {strange[0]!r}" if strange else "no classes" if "logits" in network.kinds else "no logits"
    raise InputError(
        f"--pretrained {network.name}: the network gives {', '.join(network.kinds)} with {gives}, expected va, or "
        f"logits with classes of {', '.join(MEANS)}; say classes = [...], in the order of the logits, in "
        f"[networks.{network.name}], or take another network"
    )


def _blend(task: Task, network: str, file: str) -> PretrainedBlend:
    from blend.decision.params import Params

    place = Path(f"pretrained:{network}")
    prior = dict.fromkeys(task.outputs, 0.0 if task.is_regression else 1 / len(task.outputs))
    blend = apply.Blend(Params(task.name, task.outputs, (network,), (1.0,)), prior, "train")
    return PretrainedBlend(
        place, place, task, blend, {network: place}, (network,), pretrained_network=network, file=file
    )
