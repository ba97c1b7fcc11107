"""Trained blends for new videos: params.json, the models of the heads it uses, and the networks these read.

`find` looks at small files only and refuses what cannot predict; `Trained.models` loads the models: that takes seconds.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from blend import apply
from blend.pool.networks import ARGUMENTS, FILE
from extract.networks import facts as network_facts
from extract.networks.registry import DEMO
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import MTL, STILLS, SUBTASKS, TASKS, Task
from heads.abaw.tasks import find as find_task
from heads.base.threads import ENVIRONMENT

if TYPE_CHECKING:
    from blend.decision.params import Params
    from heads.data.predictions import Predictions
    from heads.train.bags import BaggedModel
    from heads.train.model import Model


PARAMS = "params.json"
VAL = "val.parquet"
MODEL = "model"
"""Of a head's folder: the model that has learnt from train alone."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a file of a run raises that is damaged or of another version."""
QUIET = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "PYTHONHASHSEED")
"""Settings of the processes that learn which predicting takes over."""

AUDIO = "audio"
"""The project's own network that hears; and the section of a config with others."""
UNTRAINED_NOTE = "not trained or calibrated on anybody's data"
DRAWN_FACES_NOTE = "the demo's networks know drawn faces only"
"""What `make_note` says of networks by themselves, and of the project's own."""


class VideoHead(Protocol):
    """A head that is ready to predict."""

    def predict_videos(self, work: Path, videos: Sequence[str]) -> Predictions:
        """Predict every frame of these videos that has features below `work`."""


@dataclass(frozen=True)
class TrainedBlend:
    """One task's blend and where its heads lie."""

    folder: Path
    """The blend's folder, `<work>/blend/<task>`."""
    work: Path
    task: Task
    blend: apply.Blend
    heads: dict[str, Path]
    """The folders of the heads that it uses."""
    networks: tuple[str, ...]
    """What features they read, in order of their names."""
    optional: frozenset[str] = frozenset()
    """Those of the networks that every head that reads them can do without."""
    params_hash: str = ""
    """Of the params.json that `blend` was read from."""
    pretrained_network: str = ""
    """The network that stands in a blend's place (blend.predict.pretrained_blends); empty: this is a blend."""

    @property
    def required_networks(self) -> set[str]:
        """The networks that some head cannot do without."""
        return {*self.networks} - self.optional

    @property
    def params(self) -> Params:
        """The blend of the heads that weigh something."""
        return self.blend.params

    @cached_property
    def models(self) -> Mapping[str, VideoHead]:
        """The heads, ready to predict. Raises InputError for a model that is damaged or of another version."""
        from heads.train import bags
        from heads.train.model import DamagedModel

        for name in QUIET:
            os.environ.setdefault(name, ENVIRONMENT[name])
        results: dict[str, Model | BaggedModel] = {}
        for head, folder in self.heads.items():
            try:
                with _quiet():
                    results[head] = bags.load(folder / MODEL)
            except DamagedModel as error:
                raise InputError(f"{error}: {repair_advice(self)} makes it anew") from None
            if (other := results[head].head.task.name) != self.task.name:
                raise InputError(
                    f"{folder / MODEL}: is of task {other!r}, expected {self.task.name!r}: {repair_advice(self)} makes "
                    f"it anew"
                )
            if run_folder.file_hash(folder / MODEL / run_folder.DONE_FILE) != self.mark["models"][head]:
                raise InputError(f"{folder}: head {head!r} was trained again at this moment; start again")
        return results

    @cached_property
    def mark(self) -> dict[str, Any]:
        """What decides its predictions: the blend's file and those of the models."""
        models = {
            head: run_folder.file_hash(folder / MODEL / run_folder.DONE_FILE) for head, folder in self.heads.items()
        }
        return {"params": self.params_hash or run_folder.file_hash(self.folder / PARAMS), "models": models}


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries that are loaded with the first model talk to the terminal past Python: not here."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def list_audio_networks(sections: Mapping[str, Any]) -> set[str]:
    """The names of what hears, by the sections of a config."""
    return {AUDIO, *(sections.get(AUDIO) or {})}


def make_note(trained: Iterable[TrainedBlend], sections: Mapping[str, Any] | None = None) -> str:
    """What every output says of what made it; empty for blends of networks that know real faces. `sections` of a config
    know the networks of one's own: those that were fine-tuned here say themselves what they know.
    """
    sections, items, notes = sections or {}, [*trained], []
    own, hear = sections.get("networks") or {}, list_audio_networks(sections)
    wanted = {name for item in items for name in item.networks} & own.keys() - hear
    paths = {name: own[name].get("path") for name in sorted(wanted) if isinstance(own[name], dict)}
    facts = {name: network_facts.read(Path(path)) or {} for name, path in paths.items() if isinstance(path, str)}
    for item in items:
        seeing = set(item.networks) - hear
        if item.pretrained_network:
            told, about = UNTRAINED_NOTE, facts.get(item.pretrained_network)
            if about:
                told = f"fine-tuned on {len(about.get('videos', ()))} videos for {about.get('task', 'a task')}, "
                told += "not calibrated"
            notes.append(f"what the pre-trained network {item.pretrained_network} says of itself: {told}")
        if seeing and all(name in DEMO or facts.get(name, {}).get("drawn") for name in seeing):
            notes.append(DRAWN_FACES_NOTE)
    return "; ".join(dict.fromkeys(notes))


def repair_advice(trained: TrainedBlend) -> str:
    """The command that makes the blend, and what is damaged or missing of its heads."""
    return _again(trained.folder, trained.work, trained.task)


def _again(folder: Path, work: Path, task: Task) -> str:
    """The same with the config and the seed that are on record; without, the config is to be filled in."""
    name = MTL if task.within else task.name
    given, seed = ["--config", "CONFIG.toml"], 0
    with suppress(*UNREADABLE):
        given = [*map(str, _json(folder / FILE)[ARGUMENTS])]
    with suppress(*UNREADABLE):
        seed = int(_json(folder / "provenance.json")["seed"])
    arguments = ["--task", name, "--work", str(work), *given, *(["--seed", str(seed)] if seed else [])]
    return f"python -m blend.run {shlex.join(arguments)}"


def find(folders: Iterable[Path]) -> list[TrainedBlend]:
    """Blends by their folders, one per task; a multi-task blend's folder stands for its three parts.

    Raises InputError for a folder that holds no blend, two blends of one task, and a head that cannot predict: one that
    is not ours, has no model any more, or was trained again since the blend was made.
    """
    results: dict[str, TrainedBlend] = {}
    for folder in [part for given in folders for part in _parts(Path(given))]:
        item = _read(folder)
        if (other := results.get(item.task.name)) is not None:
            raise InputError(f"{folder}: {other.folder} is a blend of task {item.task.name!r} too; give one of them")
        results[item.task.name] = item
    return [results[name] for name in ("expr", "au", "va") if name in results]


def _parts(folder: Path) -> list[Path]:
    """A blend's folder, given itself, its params.json, or the folder of a multi-task blend."""
    if folder.name == PARAMS:
        folder = folder.parent
    parts = [folder / place.rpartition("/")[2] for place in SUBTASKS]
    return parts if folder.name == MTL and all((part / PARAMS).is_file() for part in parts) else [folder]


def _read(folder: Path) -> TrainedBlend:
    if not (folder / PARAMS).is_file():
        if (folder / PARAMS).exists():
            inputs.require_file(folder / PARAMS)
        there = sorted(path.parent for path in folder.glob(f"**/{PARAMS}"))[:3] if folder.is_dir() else []
        hint = f"; did you mean {there[0]}?" if there else "; python -m blend.run --task au makes one"
        raise InputError(f"{folder}: no blend here (no {PARAMS}){hint}")
    for path in folder.iterdir():
        if not path.is_dir():
            inputs.require_file(path)
    place, work = _place(folder)
    task = find_task(place)
    params_hash = run_folder.file_hash(folder / PARAMS)
    advice = _again(folder, work, task)
    blend = apply.drop_unused_heads(apply.read(folder / PARAMS, again=advice))
    if blend.params.task != task.name:
        raise InputError(f"{folder / PARAMS}: is of task {blend.params.task!r}, its folder of {place!r}")
    heads = {head: work / "heads" / place / head for head in blend.params.heads}
    recorded: dict[str, str] = {}  # head -> hash of the validation predictions that the blend was made of, if known
    with suppress(*UNREADABLE):
        recorded = dict(_json(folder / "provenance.json")["heads"])
    networks: dict[str, bool] = {}
    for head, where in heads.items():
        for network, optional in _networks(head, where, recorded.get(head), folder, advice).items():
            networks[network] = optional and networks.get(network, True)
    spare = frozenset(network for network, optional in networks.items() if optional)
    return TrainedBlend(folder, work, task, blend, heads, tuple(sorted(networks)), spare, params_hash)


def _place(folder: Path) -> tuple[str, Path]:
    """Task ("au", "mtl/va") and work folder of `<work>/blend/<task>`."""
    parts = folder.absolute().parts
    for at in (len(parts) - 2, len(parts) - 3):
        place = "/".join(parts[at + 1 :]) if at > 0 and parts[at] == "blend" else ""
        if place in TASKS or place in SUBTASKS:
            return place, Path(*parts[:at])
        if place in STILLS:
            raise InputError(
                f"{folder}: is of task {place!r}, of single pictures; expected a blend of {', '.join(TASKS)}"
            )
    raise InputError(
        f"{folder}: expected the folder where blend.run left the blend, <work>/blend/<task>: the heads are looked for "
        f"in <work>/heads/<task>"
    )


def _json(path: Path) -> Any:
    return inputs.parse_json(path.read_text(encoding="utf-8"))


def _networks(head: str, where: Path, recorded: str | None, blend: Path, advice: str) -> dict[str, bool]:
    """The networks that a head reads, and whether it can do without. Raises InputError where it cannot predict."""
    if not where.is_dir():
        raise InputError(
            f"{blend / PARAMS}: head {head!r} cannot predict: there is no {where}; if it was other people's "
            f"predictions, blend without it: python -m blend.run without --predictions {head}=..."
        )
    from heads.train import bags

    about = bags.find_facts(where / MODEL)
    if not (where / MODEL / run_folder.DONE_FILE).is_file():
        raise InputError(f"{where / MODEL}: head {head!r} is not finished; run {advice}")
    try:
        learnt_with = run_folder.results(where / MODEL)[1].get(f"../{VAL}", recorded)
        networks = {str(source["network"]): bool(source.get("optional")) for source in _json(about)["sources"]}
    except (*UNREADABLE, AttributeError) as error:
        raise InputError(
            f"{about}: head {head!r} cannot predict: its model is gone or damaged ({type(error).__name__}); run "
            f"{advice}"
        ) from None
    predictions = where / VAL
    now = run_folder.file_hash(predictions) if predictions.is_file() else learnt_with
    if recorded and {learnt_with, now} != {recorded}:
        raise InputError(
            f"{where}: head {head!r} was trained again since {blend / PARAMS} was made, or its {VAL} is damaged; run "
            f"{advice}"
        )
    return networks
