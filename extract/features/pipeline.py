"""Pictures -> features of a network, and of its companions: decoding beside it, bounded memory, one finished file a
video and network.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.engines.graph import Engine, Outputs
from extract.features.store import KINDS, VideoFeatures, check_values
from extract.media import images
from extract.media.frames import Frames
from extract.networks.registry import Network
from extract.runtime import process
from extract.runtime.errors import InputError

AHEAD = 64
"""Decoded pictures that may wait for the network, or two lots a thread: 64 of 260 pixels are 13 MB."""
LOT, FIRST = 16, 2
"""Pictures that a thread decodes at a time: handing over each alone costs as much as half of its decoding. The first
lot of a video is short, as the network may wait for it.
"""
LOTS_TO_JUDGE = 8
WAITING = 0.4
"""Of the time, after so many lots. With one thread of two cores, a network of .4 ms a picture waited .1 for JPEGs of
112 pixels, .7 for those of 224 and .95 for those of 720.
"""
DecodedPicture = NDArray[np.uint8] | images.UnreadablePicture


def cores() -> int:
    """Cores that this process may use: a batch system or a cluster's worker may have given it fewer than there are."""
    if (said := process.thread_limit()) is not None:
        return said
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Decoders:
    """Threads that decode. Beside a network on the CPU half the cores do, as more would only be in its way; where it
    waits for pictures much of the time, all of them.
    """

    def __init__(self, on_gpu: bool) -> None:
        self.threads = process.thread_limit() or max(2, cores())
        few = self.threads if on_gpu else max(1, cores() // 2)
        self._spare, self._permits = self.threads - few, threading.Semaphore(few)
        self.pool = ThreadPoolExecutor(self.threads)
        self._began, self._waited, self._lots = time.perf_counter(), 0.0, 0

    def submit(self, paths: list[Path], network: Network) -> Future[list[DecodedPicture]]:
        """Queue pictures."""
        return self.pool.submit(self._decode, paths, network.size, network.colour)

    def wait(self, lot: Future[list[DecodedPicture]]) -> list[DecodedPicture]:
        """A lot's pictures, decoded."""
        began = time.perf_counter()
        result = lot.result()
        now = time.perf_counter()
        self._waited, self._lots = self._waited + now - began, self._lots + 1
        if self._spare and self._lots >= LOTS_TO_JUDGE and self._waited > WAITING * (now - self._began):
            self._permits.release(self._spare)
            self._spare = 0
        return result

    def _decode(self, paths: list[Path], size: int, colour: str) -> list[DecodedPicture]:
        with self._permits:
            return [_decode(path, size, colour) for path in paths]


@dataclass(frozen=True)
class Failure:
    """A picture that could not be read; its frame counts as a frame without a face."""

    path: Path
    reason: str
    passing: bool = False
    """The next run tries again."""


@dataclass(frozen=True)
class Job:
    """One video to extract."""

    video: str
    folder: Path
    frames: Frames


class _Open:
    """A video on its way through a network: results land in rows of `arrays`, in whatever order they come."""

    def __init__(self, job: Job, widths: dict[str, int]) -> None:
        count = len(job.frames.numbers)
        self.job = job
        kinds = [kind for kind in KINDS if kind in widths]
        self.arrays = {kind: np.zeros((count, widths[kind]), KINDS[kind]) for kind in kinds}
        self.good = np.zeros(count, bool)
        odd = "not called like a frame; expected a number and .jpg or .png, as 00001.jpg"
        self.failures = [Failure(job.folder / name, odd) for name in job.frames.odd]
        self.left = count
        self._lock = threading.Lock()  # results arrive on the engine's threads, failures on ours

    def store_row(self, row: int, outputs: Outputs) -> None:
        with np.errstate(over="ignore"):  # infinite then, and refused as such
            for kind, array in self.arrays.items():
                array[row] = outputs[kind]
        self.good[row] = True
        with self._lock:
            self.left -= 1

    def note_failure(self, path: Path, error: images.UnreadablePicture) -> None:
        self.failures.append(Failure(path, str(error), error.passing))
        with self._lock:
            self.left -= 1

    def features(self) -> VideoFeatures:
        arrays = {kind: array[self.good] for kind, array in self.arrays.items()}
        return VideoFeatures(self.job.frames.numbers[self.good], **arrays)


@dataclass(frozen=True)
class Consumer:
    """A network that gets decoded pictures: of the videos that it `takes`, asked once for each, and has to `write`."""

    engine: Engine
    write: Callable[[Job, VideoFeatures, list[Failure]], None]
    takes: Callable[[Job], bool]
    leave_out: Callable[[Job], None] | None = None
    """What becomes of a video whose values cannot be kept; None: it is refused."""

    def submit(self, video: _Open, row: int, path: Path, picture: DecodedPicture) -> None:
        """Queue a video's picture."""
        if isinstance(picture, images.UnreadablePicture):
            video.note_failure(path, picture)
        else:
            self.engine.submit(picture, partial(video.store_row, row))

    def finish(self, video: _Open) -> None:
        """Write a video that is complete. Raises InputError for a value that is not finite, or too large."""
        features = video.features()
        try:
            check_values(features, self.engine.network.name, video.job.video)
        except InputError:
            if self.leave_out is None:
                raise
            self.leave_out(video.job)
            return
        self.write(video.job, features, video.failures)


def extract(
    engine: Engine,
    jobs: Iterable[Job | None],
    write: Callable[[Job, VideoFeatures, list[Failure]], None],
    advance: Callable[[int], None],
    companions: Sequence[Consumer] = (),
) -> None:
    """Run every picture of `jobs` through the engine, in order; None among them means: finish what is open first.

    `write(job, features, failures)` is called once per video, in order, as soon as it is complete; `advance(count)` per
    picture. `companions` take the same pixels, a lot at a time, in turn with this engine: picture by picture their
    threads would be in each other's way. Raises InputError for the first video with a value that is not finite, or too
    large.
    """
    networks = [Consumer(engine, write, lambda _: True), *companions]
    on_the_way: deque[tuple[Consumer, _Open]] = deque()
    decoding: deque[tuple[list[tuple[Consumer, _Open]], int, list[Path], Future[list[DecodedPicture]]]] = deque()
    decoders = Decoders(engine.on_gpu)

    def write_complete() -> None:
        while on_the_way and not on_the_way[0][1].left:
            network, video = on_the_way.popleft()
            network.finish(video)

    def submit_oldest() -> None:
        videos, first, paths, decoded = decoding.popleft()
        pictures = decoders.wait(decoded)
        for network, video in videos:
            if first == 0:
                network.engine.begin_video()
            for row, (path, picture) in enumerate(zip(paths, pictures, strict=True), first):
                network.submit(video, row, path, picture)
                if network is networks[0]:
                    advance(1)
        write_complete()

    def finish() -> None:
        while decoding:
            submit_oldest()
        for network in networks:
            network.engine.flush()
        write_complete()

    with warnings.catch_warnings(), decoders.pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged EXIF data and the like, without a file's name
        try:
            for job in jobs:
                if job is None:
                    finish()
                    continue
                videos = [(network, _Open(job, network.engine.widths)) for network in networks if network.takes(job)]
                on_the_way.extend(videos)
                for first, paths in _lots(job):
                    decoding.append((videos, first, paths, decoders.submit(paths, engine.network)))
                    while sum(len(lot) for _, _, lot, _ in decoding) >= max(AHEAD, 2 * LOT * decoders.threads):
                        submit_oldest()
            finish()
        except BaseException:
            decoders.pool.shutdown(wait=False, cancel_futures=True)
            raise


def _lots(job: Job) -> Iterator[tuple[int, list[Path]]]:
    """Pictures that a thread decodes at a time, and the row of the first."""
    for start in range(FIRST - LOT, len(job.frames.names), LOT):
        if names := job.frames.names[max(0, start) : start + LOT]:
            yield max(0, start), [job.folder / name for name in names]


def _decode(path: Path, size: int, colour: str) -> DecodedPicture:
    try:
        return images.read(path, size, colour)
    except images.UnreadablePicture as error:
        return error
