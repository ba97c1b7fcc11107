"""The sound's part of the feature store: a vector for each frame of each video, of log-mels or a network of the user's.

A frame's vector is centred on the frame's own time in the video file. Soundless and silent videos have zeros, and are
counted in `<work>/features/<network>/soundless.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from extract.audio import logmel
from extract.config import Config, Corpus
from extract.features import provenance, store
from extract.features.base import FeatureStep, OnProgress
from extract.features.store import VideoFeatures, check_values
from extract.media import files as media_files
from extract.media import sound as audio_read
from extract.media import timestamps
from extract.media.sound import Block, Tally
from extract.networks import registry
from extract.runtime import inputs
from extract.runtime.errors import InputError, warn
from extract.runtime.run_folder import fingerprint, sweep, write_json

NAME = "audio"
"""The network that needs no weights: log-mel features."""
MAX_NAMES = 5
"""Soundless videos named on screen."""
NO_FILE = "no file of it in corpus.videos"


class Listener(Protocol):
    """Sound -> features of frames."""

    rate: int
    about: dict[str, str]
    """What decides the features."""
    made_by: dict[str, str]
    """What computes them, which does not."""

    def listen(self, blocks: Iterable[Block], times: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Features by kind, a row for each of the frames at `times` (seconds)."""
        ...

    def make_zeros(self, frames: int) -> dict[str, NDArray[Any]]:
        """Zeros."""
        ...


class LogMel:
    """The built-in features."""

    rate = logmel.RATE

    def __init__(self) -> None:
        self.about = {"network": NAME, "settings": json.dumps(logmel.SETTINGS)}
        self.made_by: dict[str, str] = {}

    def listen(self, blocks: Iterable[Block], times: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """The embedding."""
        hops, vectors = logmel.Hops(), logmel.FrameVectors(times)
        for start, samples in blocks:
            for windows in hops.feed(start, samples):
                vectors.feed(*windows)
        for windows in hops.finish():
            vectors.feed(*windows)
        return {"embedding": vectors.finish()}

    def make_zeros(self, frames: int) -> dict[str, NDArray[Any]]:
        """Zeros."""
        return {"embedding": np.zeros((frames, logmel.WIDTH), np.float16)}


@dataclass(frozen=True)
class Job:
    """One video: its sound, its last frame with a face (None: faces do not matter), and the file whose pictures' times
    are the frames' (None: that of the sound). One without any face (0) has no frames: other networks lack it, too, and
    it is predicted from the prior.
    """

    video: str
    file: Path | None
    frames: int | None = None
    pictures: Path | None = None


def jobs(corpus: Corpus, frames: Mapping[str, int | None]) -> list[Job]:
    """Of every video its file, and the last frame with a face in `frames`.

    Raises InputError where corpus.videos is not given, and where more videos than corpus.missing_videos allows have no
    file.
    """
    if not corpus.videos:
        raise InputError(
            f"features.networks: {NAME!r} and networks of [audio.*] need the videos' sound: give corpus.videos, the "
            f"folder of <video>.mp4, <video>.wav and the like"
        )
    files = media_files.list_files(corpus.videos)
    of = {name: media_files.find(name, files) for name in frames}
    results = [Job(name, of[name].sound, last, of[name].video) for name, last in frames.items()]
    lacking = [job.video for job in results if job.file is None]
    if len(lacking) > corpus.missing_videos * len(results):
        raise InputError(
            f"{corpus.videos[0]}: no file of the video {lacking[0]!r} ({len(lacking)} of {len(results)} have none); "
            f"expected {lacking[0]}.mp4, {lacking[0]}.wav or the like: correct corpus.videos, or raise "
            f"corpus.missing_videos"
        )
    return results


def names(config: Config, work: Path) -> list[str]:
    """The networks that hear, of those in features.networks. A table imported as "audio" is none."""
    mine = [NAME] if not provenance.is_imported(work, NAME) else []
    return [name for name in dict.fromkeys(config.features.networks) if name in (*config.audio, *mine)]


def create_listener(name: str, config: Config) -> Listener:
    """What hears by this name. Raises InputError for a section [audio.*] that cannot be used."""
    if name not in config.audio:
        return LogMel()
    if name == NAME or name in registry.NETWORKS or name in config.networks:
        raise InputError(f"audio.{name}: there is another network of that name; choose another")
    from extract.audio.network import AudioNetwork

    return AudioNetwork(name, config.audio[name], config.features)


class AudioStep(FeatureStep[Job]):
    """The sound of `jobs` through one listener. `version` is that of an embedded corpus, else empty."""

    frames_of_unit = 100

    def __init__(
        self, name: str, listener: Listener, jobs: Sequence[Job], corpus: Corpus, work: Path, version: str, redo: bool
    ) -> None:
        super().__init__(name, jobs, work, version, redo)
        self.listener, self.corpus = listener, corpus

    def describe(self) -> dict[str, str]:
        """What decides the features."""
        return self.listener.about | {"mark": fingerprint(self.listener.about)}

    def is_current(self, path: Path, job: Job) -> bool:
        """Whether a file holds what would be made now. Raises InputError where it is of other settings."""
        there, about = store.read_about(path), self.about
        if there is None:
            return False
        if there.get("mark") != about["mark"]:
            other = ", ".join(key for key in about if key != "mark" and there.get(key) != about[key])
            raise InputError(f"{path}: made with other {other}; python -m extract.run --redo makes it anew")
        return all(there.get(key) == value for key, value in self._describe_video(job).items())

    def _describe_video(self, job: Job) -> dict[str, str]:
        """What a video's features hang on beside the network."""
        files = [job.file] if job.pictures in (None, job.file) else [job.file, job.pictures]
        sound = " ".join(f"{file.name}:{file.stat().st_size}" for file in files if file is not None)
        pictures = f"{job.frames}, {self.corpus.fps:g} a second"
        return {"sound": sound, "pictures": pictures, "corpus": self.version}

    def make_videos(self, stream: Iterator[Job | None], release: Callable[[str], None], advance: OnProgress) -> None:
        """Listen to the videos that come, one by one."""
        for job in filter(None, stream):
            features, soundless, damaged = compute_features(self.listener, job, self.corpus.fps)
            check_values(features, self.name, job.video)
            file = store.path(self.work, self.name, job.video)
            said = {"video": job.video, "soundless": soundless, "damaged": str(damaged)} | self.listener.made_by
            store.write(file, features, self.about | self._describe_video(job) | said)
            sweep(file)
            release(job.video)
            advance(1)

    def report(self) -> None:
        """Say and keep which videos have no sound, and which lack pieces of it."""
        path = self.folder / "soundless.json"
        facts = [(job, store.read_about(store.path(self.work, self.name, job.video)) or {}) for job in self.jobs]
        silent = [(job, there["soundless"]) for job, there in facts if there.get("soundless")]
        damaged = [(job, int(there["damaged"])) for job, there in facts if int(there.get("damaged", 0))]
        results = {
            "videos": len(facts),
            "soundless": [{"video": job.video, "file": str(job.file or ""), "reason": why} for job, why in silent],
            "damaged": [{"video": job.video, "file": str(job.file), "pieces": pieces} for job, pieces in damaged],
        }
        if inputs.load_json(path) != results:
            write_json(path, results)
        if silent:
            first = ", ".join(f"{job.video} ({why})" for job, why in silent[:MAX_NAMES])
            more = f" and {len(silent) - MAX_NAMES} more, listed in {path}" if len(silent) > MAX_NAMES else ""
            warn(f"{len(silent)} of {len(facts)} videos have no sound, so zeros: {first}{more}")
        for job, pieces in damaged[:MAX_NAMES]:
            what = f"{pieces} pieces of the sound cannot be decoded, or the clock begins anew before them"
            warn(f"{job.file}: {what}: silence there")


def compute_features(listener: Listener, job: Job, fps: float) -> tuple[VideoFeatures, str, int]:
    """A video's features, why it has no sound (empty: it has), and how many pieces of sound are damaged or misplaced.

    There are as many frames as pictures, more if `job.frames` is more, none without a face; of a sound file alone frame
    k is at (k - 1) / fps seconds, up to the end of the sound.
    """
    least = job.frames or 0
    pictures = job.pictures or job.file
    times = timestamps.picture_times(pictures) if pictures is not None and job.frames != 0 else np.empty(0)
    soundless, heard, rows = NO_FILE if job.file is None else "", Tally(), None
    if job.file is not None and job.frames != 0:
        try:
            if not len(times):
                times = np.arange(_frames_heard(job.file, listener.rate, fps)) / fps
            times = extend_times(times, least, fps)
            rows = listener.listen(audio_read.blocks(job.file, listener.rate, heard), times)
        except audio_read.Unreadable as error:
            soundless = str(error)
        if not soundless and not heard.peak:
            soundless = "silent" if heard.samples else "no sound can be decoded"
    times = extend_times(times, least, fps)
    if soundless or rows is None:
        rows = listener.make_zeros(len(times))
    return VideoFeatures(np.arange(1, len(times) + 1, dtype=np.int32), **rows), soundless, heard.damaged_pieces


def extend_times(times: NDArray[np.float64], frames: int, fps: float) -> NDArray[np.float64]:
    """Times of at least so many frames: those behind the last follow at the video's usual rate."""
    if len(times) >= frames:
        return times
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / fps
    begin = times[-1] + step if len(times) else 0.0
    return np.concatenate([times, begin + step * np.arange(frames - len(times))])


def _frames_heard(path: Path, rate: int, fps: float) -> int:
    """Frames that a sound without pictures lasts; its clock begins with it or at 0."""
    end = 0
    for start, samples in audio_read.blocks(path, rate, Tally()):
        end = start + len(samples)
    return int(np.ceil(end / rate * fps - 0.01))


def count_frames(config: Config) -> Mapping[str, int | None]:
    """Every video and its last frame with a face; without folders of frames, every file of corpus.videos."""
    from extract.media import frames

    if not config.corpus.frames:
        return dict.fromkeys(sorted(media_files.list_files(config.corpus.videos))) if config.corpus.videos else {}
    folders = frames.list_videos(config.corpus.frames)
    numbers = {video: frames.list_frames(folder).numbers for video, folder in folders.items()}
    return {video: int(number[-1]) if len(number) else 0 for video, number in numbers.items()}
