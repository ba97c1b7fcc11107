"""Crops of a new video -> the features that the heads read, by the networks and settings they learnt from."""

from __future__ import annotations

import os
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blend.pool.networks import CHECKSUM, FILE, SECTIONS, _distrust
from blend.predict.source import DetectedFaces, VideoSource
from blend.predict.trained_blends import TrainedBlend, list_audio_networks, repair_advice
from extract import config as configs
from extract import run as extract_run
from extract.config import Config
from extract.engines.create import EngineCache
from extract.features import provenance, store
from extract.learning import names
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError
from extract.runtime.run_folder import fingerprint, read_json, write_whole

RATE = 16_000
"""Samples of a second of silence."""


def extract(
    trained: list[TrainedBlend], networks: dict[str, Any], clip: VideoSource, result: DetectedFaces, work: Path,
    engines: EngineCache | None = None,
) -> None:  # fmt: skip
    """Run every face's crops through the networks, into `<work>/features`; what is there already is kept.

    `networks` are the sections of a config that know them; `engines`, where given, are kept for the next video. A
    folder of crops is a video without sound: what hears is absent there. Raises InputError where a head cannot do
    without it, and where the features differ in kind from those that the heads learnt from.
    """
    corpus: dict[str, Any] = {"name": "predicted", "frames": [*map(str, result.crops)]}
    hear = list_audio_networks(networks) & {*networks["features"]["networks"]}
    needed = hear & {network for item in trained for network in item.required_networks}
    if needed and clip.is_folder:
        raise InputError(
            f"{clip.path}: a folder of crops has no sound, but heads read {sorted(needed)[0]!r}; give the video file"
        )
    if hear:
        corpus |= {"videos": [str(_sound(clip, result, work))], "fps": float(result.timing.rate)}
    config = configs.check(Config, {"corpus": corpus, **networks}, f"the networks of {clip.name}")
    extract_run.main(config, work, engines=engines)
    read = [(item, network) for item in trained for network in item.networks]
    for (frames, _), video in zip(result.people, result.videos, strict=True):
        for item, network in read if len(frames) else ():
            check_origin(item, network, store.read_about(store.path(work, network, video)) or {})


def _sound(clip: VideoSource, result: DetectedFaces, work: Path) -> Path:
    """A folder where the video is called like each of its faces: they share one sound. For crops, it holds silence."""
    folder = work / "sound"
    folder.mkdir(parents=True, exist_ok=True)
    for video in result.videos:
        if clip.is_folder:
            with write_whole(folder / f"{video}.wav") as temporary, wave.open(str(temporary), "wb") as silence:
                silence.setparams((1, 2, RATE, 0, "NONE", ""))
                silence.writeframes(bytes(2 * RATE))
            continue
        link = folder / f"{video}{clip.path.suffix}"
        if not link.is_symlink():
            os.symlink(clip.path.absolute(), link)
    return folder


def settings(trained: list[TrainedBlend], given: Path | None) -> dict[str, Any]:
    """The sections of a config that know every network of these blends: of the file `given`, else of what the blends
    have on record, else the project's own networks.

    Raises InputError for a network that is not known, and for an imported table, which no video can be run through.
    """
    sections: dict[str, Any] = {"features": {}, "networks": {}}
    if given is not None:
        config = configs.load(Config, given)
        for item in trained:
            config = names.add_learnt_networks(config, item.work, item.networks)
        sections = read_sections(config)
    else:
        for item in trained:
            for name, section in _on_record(item).items():
                sections[name] = {**sections.get(name, {}), **section}
    wanted = sorted({network for entry in trained for network in entry.networks})
    known = {*NETWORKS, *sections["networks"], *list_audio_networks(sections)}
    if unknown := [(item, network) for item in trained for network in item.networks if network not in known]:
        item, network = unknown[0]
        if provenance.is_imported(item.work, network):
            raise InputError(
                f"{item.folder}: its heads read the imported table {network!r}, which cannot be made of a video; "
                f"blend heads of networks instead (features.networks)"
            )
        raise InputError(
            f"{item.folder}: its heads read the network {network!r}, which is not known here; give --config with "
            f"the run's TOML file, where [networks.{network}] stands"
        )
    sections["features"] = {**(sections["features"] or {}), "networks": wanted}
    return {name: section for name, section in sections.items() if section}


def read_sections(config: Config) -> dict[str, Any]:
    """The sections of a config that know networks."""
    return {name: config.model_dump(mode="json", include={name}).get(name) or {} for name in SECTIONS}


def _on_record(trained: TrainedBlend) -> dict[str, Any]:
    """What blend.run left of its config; nothing where an older one left nothing."""
    path = trained.folder / FILE
    if not path.exists():
        return {}
    result = read_json(path, f"run {repair_advice(trained)} again")
    if (said := result.pop(CHECKSUM, None)) is not None and said != fingerprint(result):
        raise InputError(
            f"{path}: not what blend.run left there; run {repair_advice(trained)} again, which makes it anew"
        )
    _distrust(result)
    return {name: section for name, section in result.items() if name in SECTIONS and isinstance(section, dict)}


def check_origin(trained: TrainedBlend, network: str, new: Mapping[str, str]) -> None:
    """Raise InputError where a network's new features were made otherwise than those that the heads learnt from, by
    what decides them (`provenance.describe`). Where the run's features are gone, nothing is compared.
    """
    there = (path for path in (trained.work / "features" / network).glob("*.safetensors") if path.name[0] != ".")
    old = next((about for path in there if (about := store.read_about(path)) is not None), None)
    if old is None or old.get("mark") == new.get("mark"):
        return
    differs = [key for key in old if key in new and key not in _OF_A_VIDEO and old[key] != new[key]]
    raise InputError(
        f"{trained.folder}: its heads learnt from features of {network!r} that were made with other "
        f"{', '.join(differs) or 'settings'}; run {repair_advice(trained)} again, or give --config with its TOML file"
    )


_OF_A_VIDEO = ("mark", "content", "arrays", "checksum", "video", "pictures", "unreadable", "engine", "versions")
