"""Extraction on a cluster: some videos of one network are a job, done under the same locks as anywhere.

    python -m extract.cluster_job < JOB.json

is such a job on a worker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extract import config_file
from extract.audio import step as audio_step
from extract.config import Config
from extract.features import pipeline, store
from extract.features import step as feature_step
from extract.features.base import FeatureStep
from extract.jobs.cluster import Cluster
from extract.jobs.job import Job, Needs
from extract.jobs.session import wait_until
from extract.media import frames
from extract.networks import registry
from extract.runtime import errors, process
from extract.runtime.progress import progress

MAX_FRAMES, MIN_FRAMES = 20_000, 1_000
"""Frames of a job: minutes at most, so that little is lost with a worker, and much longer than a process's start."""
JOBS_PER_SLOT = 4
"""So many jobs for each that can run at a time, so that all end at about the same time."""
SECONDS_BETWEEN_NEWS = 0.5
MEMORY = 1_000_000_000
"""Bytes of an extracting process: half of it was measured (README), twice that is asked for."""
SECTIONS = ("corpus", "features", "networks", "audio")
Part = FeatureStep[Any]


def run(cluster: Cluster, config: Config, parts: Sequence[Part]) -> None:
    """Let the cluster make what is missing of all parts; returns when this machine sees all of it, videos with
    unreadable pictures among them. Raises as `Cluster.run`; what was finished stays.
    """
    settings = config.model_dump(mode="json", include=set(SECTIONS))
    config_file.resolve(settings, Path.cwd())
    jobs: list[Job] = []
    videos: dict[str, tuple[Part, list[Any], int]] = {}
    for part in parts:
        todo: list[Any] = part.todo()
        sizes = [part.size(job) * part.frames_of_unit for job in todo]
        for number, chunk in enumerate(divide_videos(sizes, cluster.slots()), 1):
            name = f"extract-{part.name}-{number}"
            subset = [todo[i] for i in chunk]
            videos[name] = part, subset, sum(sizes[i] for i in chunk)
            jobs.append(_job(cluster, settings, part, name, subset))
    if not jobs:
        return
    jobs.sort(key=lambda job: -videos[job.name][2])  # begun last, a long video would keep all others waiting
    before = {name: [_file(part, element) for element in chosen] for name, (part, chosen, _) in videos.items()}
    done = dict.fromkeys(videos, 0)
    with progress("extract", total=sum(size for *_, size in videos.values()), unit="frames") as bar:

        def at(job: Job, frames_done: int) -> None:
            bar.advance(max(0, frames_done - done[job.name]), f"{job.name}, {cluster.slots()} at a time")
            done[job.name] = max(frames_done, done[job.name])

        def ended(job: Job, _: dict[str, Any]) -> None:
            part, group, size = videos[job.name]
            for entry, old in zip(group, before[job.name], strict=True):
                # what has a picture that could not be read this time is made, and yet to be made again by another run
                wait_until(
                    lambda item=entry, old=old: part.is_done(item) or _file(part, item) != old,  # type: ignore[misc]
                    store.path(part.work, part.name, entry.video),
                )
            at(job, size)

        cluster.run("extract", jobs, lambda job, news: at(job, int(news.get("done", 0))), ended)


def divide_videos(sizes: list[int], slots: int) -> list[list[int]]:
    """Indices of videos in jobs of about the same size, their order kept; a video is never divided."""
    most = min(MAX_FRAMES, max(MIN_FRAMES, sum(sizes) // (JOBS_PER_SLOT * slots)))
    results: list[list[int]] = []
    full = 0
    for i, size in enumerate(sizes):
        if not results or full + size > most:
            results.append([])
            full = 0
        results[-1].append(i)
        full += size
    return results


def _file(part: Part, job: Any) -> tuple[int, int] | None:
    """What changes when a video's features are made again; None: there are none."""
    try:
        about = store.path(part.work, part.name, job.video).stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns


def _job(cluster: Cluster, settings: dict[str, Any], part: Part, name: str, values: list[Any]) -> Job:
    """A job's paths: no picture is read here."""
    told: dict[str, Any] = {"config": settings, "network": part.name, "work": str(part.work.resolve())}
    told["corpus"] = part.version
    if isinstance(part, feature_step.NetworkStep):
        chosen = [job.frames.names if job.frames.is_subset else None for job in values]
        told["seen"] = [[job.video, _full(job.folder), names] for job, names in zip(values, chosen, strict=True)]
    else:
        told["heard"] = [[job.video, _full(job.file), job.frames, _full(job.pictures)] for job in values]
    needs = Needs(threads=1, memory=MEMORY, gpu=part.gpu)
    return Job(name, "extract.cluster_job", (), cluster.log(name), needs, stdin=json.dumps(told))


def _full(path: Path | None) -> str | None:
    return path and str(path.absolute())


def main(told: dict[str, Any], say: Any) -> None:
    """Do a job: its videos, but for those that another process does meanwhile."""
    config, work = Config.model_validate(told["config"]), Path(told["work"])
    if "seen" in told:
        network = registry.find(told["network"], config)
        places = {video: frames.VideoFolder(Path(path), names and tuple(names)) for video, path, names in told["seen"]}
        jobs = [pipeline.Job(video, place.folder, place.list_frames()) for video, place in places.items()]
        part: Part = feature_step.NetworkStep(
            network, jobs, work, config.features, told["corpus"], redo=False, corpus=config.corpus.name
        )
    else:
        listener = audio_step.create_listener(told["network"], config)
        heard = [
            audio_step.Job(video, path and Path(path), last, pictures and Path(pictures))
            for video, path, last, pictures in told["heard"]
        ]
        part = audio_step.AudioStep(told["network"], listener, heard, config.corpus, work, told["corpus"], redo=False)
    todo: list[Any] = part.todo()
    everything: list[Any] = [*part.jobs]
    done = sum(map(part.size, everything)) - sum(map(part.size, todo))
    said = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said >= SECONDS_BETWEEN_NEWS:
            said = time.monotonic()
            say({"done": done * part.frames_of_unit})

    if todo:
        part.make_of(todo, advance)


if __name__ == "__main__":
    with errors.exits():
        main(process.job(), process.reserve_stdout())
