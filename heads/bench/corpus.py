"""A corpus of Aff-Wild2's size with invented contents: real names, lengths and gaps, features of latent states.

Every video has eight expression states, AR(1) in time (Gaussian, variance 1) around offsets of its own. A unit is there
while its mix of states, with noise that is AR(1) too, is above a threshold; thresholds give train the published rates.
The embedding, eight logits, valence and arousal are mixes of the states, of an identity that the video keeps, and of
white noise. Each video is made from the seed and its name alone, so a killed run goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.features import store
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from extract.runtime.run_folder import fingerprint, write_json, write_text, write_whole
from heads.abaw.tasks import TASKS
from heads.bench.frames import Frames, Parts, choose

NETWORK = "bench"
DIMENSIONS = 1280
STATES, IDENTITY = 8, 16
MEMORY = 0.97
"""AR(1) coefficient from frame to frame: half of a state is forgotten after 23 frames."""
RATES = (0.1182, 0.0499, 0.1540, 0.2662, 0.3972, 0.3445, 0.2450, 0.0281, 0.0315, 0.0256, 0.6266, 0.0744)
"""Positive rate of each unit in Aff-Wild2's train, as published."""
HEADER = TASKS["au"].header
UNANNOTATED_LINE = b",".join([b"-1"] * 12) + b"\n"
TOML = """[corpus]
name = "bench"
[corpus.au]
train = "annotations/train"
val = "annotations/val"
[features]
networks = ["{network}"]
"""


@dataclass(frozen=True)
class World:
    """What all videos share: how states become units, embedding, logits and va. Rows: what is mixed."""

    seed: int
    units: NDArray[np.float32]
    embedding: NDArray[np.float32]
    outputs: NDArray[np.float32]

    @staticmethod
    def from_seed(seed: int) -> World:
        """The world of a seed."""
        rng = np.random.default_rng(seed)

        def mix(inputs: int, outputs: int) -> NDArray[np.float32]:
            return (rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)

        return World(seed, mix(STATES, 12), mix(STATES + IDENTITY, DIMENSIONS), mix(STATES + IDENTITY, 10))

    def rng(self, video: str, stream: int) -> np.random.Generator:
        """Random numbers of one video: `stream` is 0 for its states, 1 for its features."""
        return np.random.default_rng([self.seed, zlib.crc32(video.encode()), stream])


def states(world: World, video: str, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A video's states [length, 8] and what drives its units [length, 12], at every frame."""
    from scipy.signal import lfilter

    rng = world.rng(video, 0)
    noise = rng.standard_normal((length, STATES + 12), dtype=np.float32)
    noise[1:] *= np.float32(np.sqrt(1 - MEMORY**2))
    walks = lfilter([1.0], [1.0, -MEMORY], noise, axis=0).astype(np.float32)
    state = walks[:, :STATES] + 0.5 * rng.standard_normal(STATES, dtype=np.float32)
    return state, state @ world.units + 0.4 * walks[:, STATES:]


def features(world: World, video: str, state: NDArray[np.float32], frames: NDArray[np.int32]) -> store.VideoFeatures:
    """The features of a video's `frames` (those with a face), float16 embedding and float32 logits and va."""
    rng = world.rng(video, 1)
    identity = rng.standard_normal(IDENTITY, dtype=np.float32)
    mixed = np.concatenate([state[frames - 1], np.broadcast_to(identity, (len(frames), IDENTITY))], axis=1)
    embedding = rng.standard_normal((len(frames), DIMENSIONS), dtype=np.float32)
    embedding *= 1.5
    embedding += mixed @ world.embedding
    outputs = mixed @ world.outputs + 0.5 * rng.standard_normal((len(frames), 10), dtype=np.float32)
    return store.VideoFeatures(frames, embedding.astype(np.float16), 2 * outputs[:, :8], np.tanh(outputs[:, 8:]))


def annotation(units: NDArray[np.bool_], present: NDArray[np.bool_]) -> bytes:
    """The official file of units [F, 12]; frames that are not `present` [F] are not annotated."""
    text = np.full((len(units), 24), ord(","), np.uint8)
    text[:, ::2] = ord("0") + units
    text[:, -1] = ord("\n")
    lines = text.view("S24").ravel().astype(object)
    lines[~present] = UNANNOTATED_LINE
    return HEADER.encode() + b"\n" + b"".join(lines)


def thresholds(world: World, train: Frames) -> NDArray[np.float32]:
    """What each unit's drive has to exceed, [12], for the published rates over train's frames with a face."""
    drives = [states(world, video, int(frames[-1]))[1][frames - 1] for video, frames in train.items()]
    drive = np.concatenate(drives)
    return np.array([np.quantile(drive[:, i], 1 - rate) for i, rate in enumerate(RATES)], np.float32)


def make(work: Path, frames: Path | None, scale: float, seed: int) -> Path:
    """Make what is missing of the corpus under `work`; returns its config. `frames`: a table of real frames, or None.

    Raises InputError where another corpus lies there, and where the disk has too little room.
    """
    parts, source = choose(frames, scale, seed)
    mark = fingerprint(["bench corpus 1", source, scale, seed])
    _own(work, mark, parts)
    world = World.from_seed(seed)
    _room(work, parts)
    every = [(part, video, numbers) for part, videos in parts.items() for video, numbers in videos.items()]
    missing = [(part, video, numbers) for part, video, numbers in every if not _is_there(work, part, video, mark)]
    if missing:
        with progress("make the corpus", total=sum(len(numbers) for _, _, numbers in missing), unit="frames") as bar:
            least = thresholds(world, parts["train"])
            for part, video, numbers in missing:
                _write(work, part, video, numbers, world, least, mark)
                bar.advance(len(numbers))
    write_text(work / "corpus.toml", TOML.format(network=NETWORK))
    return work / "corpus.toml"


def _write(
    work: Path, part: str, video: str, frames: NDArray[np.int32], world: World, least: NDArray[np.float32], mark: str
) -> None:
    """Write a video: the features last, so that a video with features is whole."""
    state, drive = states(world, video, int(frames[-1]))
    there = np.zeros(len(state), bool)
    there[frames - 1] = True
    with write_whole(work / "annotations" / part / f"{video}.txt") as temporary:
        temporary.write_bytes(annotation(drive > least, there))
    about = {"mark": mark, "pictures": str(len(frames))}
    store.write(store.path(work, NETWORK, video), features(world, video, state, frames), about)


def _is_there(work: Path, part: str, video: str, mark: str) -> bool:
    about = store.read_about(store.path(work, NETWORK, video))
    return about is not None and about.get("mark") == mark and (work / "annotations" / part / f"{video}.txt").exists()


def _own(work: Path, mark: str, parts: Parts) -> None:
    """Note what corpus lies in `work`. Raises InputError where it is another."""
    path = work / "corpus.json"
    with suppress(OSError, ValueError, KeyError):
        if json.loads(path.read_text())["mark"] != mark:
            raise InputError(f"{path}: another corpus (scale, seed or frames) lies here; choose another --work")
    sizes = {part: {"videos": len(v), "frames": sum(map(len, v.values()))} for part, v in parts.items()}
    write_json(path, {"mark": mark, **sizes})


def _room(work: Path, parts: Parts) -> None:
    rows = sum(len(video) for videos in parts.values() for video in videos.values())
    needed = rows * (2 * DIMENSIONS + 100)
    there = sum(file.stat().st_size for file in (work / "features").rglob("*.safetensors"))
    if (free := shutil.disk_usage(work).free) < needed - there:
        raise InputError(f"{work}: the corpus takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; choose --work")
