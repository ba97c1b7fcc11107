"""Crops of a new video -> the features that the heads read, by the same steps as those they learnt from."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import Any

from blend import predict_networks
from blend.predict_blends import Trained
from blend.predict_source import Clip, Found
from extract import config as configs
from extract import run as extract_run
from extract.config import Config
from extract.errors import InputError
from extract.rundir import writing

RATE = 16_000
"""Samples of a second of silence."""


def extract(trained: list[Trained], networks: dict[str, Any], clip: Clip, found: Found, work: Path) -> None:
    """Run every face's crops through the networks, into `<work>/features`; what is there already is kept.

    `networks` are the sections of a config that know them. A folder of crops is a video without sound: what hears is
    absent there. Raises InputError where a head cannot do without it, and where the features differ in kind from those
    that the heads learnt from.
    """
    corpus: dict[str, Any] = {"name": "predicted", "frames": [str(found.crops)]}
    hear = {predict_networks.AUDIO, *networks.get(predict_networks.AUDIO, {})} & {*networks["features"]["networks"]}
    needed = hear & {network for one in trained for network in one.networks if network not in one.optional}
    if needed and clip.is_folder:
        raise InputError(
            f"{clip.path}: a folder of crops has no sound, but heads read {sorted(needed)[0]!r}; give the video file"
        )
    if hear:
        corpus |= {"videos": [str(_sound(clip, found, work))], "fps": float(found.timing.rate)}
    config = configs.check(Config, {"corpus": corpus, **networks}, f"the networks of {clip.name}")
    extract_run.main(config, work)
    for (frames, _), video in zip(found.people, found.videos, strict=True):
        if len(frames):
            predict_networks.check(trained, work, video)


def _sound(clip: Clip, found: Found, work: Path) -> Path:
    """A folder where the video is called like each of its faces: they share one sound. For crops, it holds silence."""
    folder = work / "sound"
    folder.mkdir(parents=True, exist_ok=True)
    for video in found.videos:
        if clip.is_folder:
            with writing(folder / f"{video}.wav") as temporary, wave.open(str(temporary), "wb") as silence:
                silence.setparams((1, 2, RATE, 0, "NONE", ""))
                silence.writeframes(bytes(2 * RATE))
            continue
        link = folder / f"{video}{clip.path.suffix}"
        if not link.is_symlink():
            os.symlink(clip.path.absolute(), link)
    return folder
