"""A larger demo corpus, every video of it labelled: the demo's train and validation cast, played again by others.

A video of the demo is a function of a seed and its name. Other seeds than the shipped corpus's give other people who
play other scenes, so this corpus knows nothing of the demo's test videos.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from extract.config import Corpus, TaskPaths
from extract.demo import corpus, plan
from extract.runtime import run_folder
from extract.runtime.progress import progress

FIRST_SEED = 101
VIDEOS_PER_SEED = 20
"""Videos of each seed: the first of the cast, 14 of train and 6 of validation."""


def make(folder: Path, seeds: int = 3, processes: int = 2) -> Corpus:
    """Render and write what is missing; returns the corpus's section of a config. Of so many seeds its parts train and
    val have 14 and 6 videos each; whoever splits them anew need not mind.
    """
    drawn = tuple(range(FIRST_SEED, FIRST_SEED + seeds))
    version = f"{corpus.VERSION}; seeds {drawn}, {VIDEOS_PER_SEED} videos each"
    cast = [(seed, row) for seed in drawn for row in plan.DEMO_VIDEOS[:VIDEOS_PER_SEED]]
    frames = folder / "frames"
    tasks = {
        task: TaskPaths(train=(folder / task / "train").resolve(), val=(folder / task / "val").resolve())
        for task in plan.TASKS
    }
    done = folder / run_folder.DONE_FILE
    if not (done.is_file() and done.read_text(encoding="utf-8") == version + "\n"):
        with run_folder.hold_folder(folder):
            frames.mkdir(parents=True, exist_ok=True)
            todo = [(frames, seed, row.name) for seed, row in cast if not (frames / _name(seed, row.name)).is_dir()]
            with progress("render the videos", len(todo), "videos") as bar:
                for _ in corpus.run_jobs(_video, todo, processes):
                    bar.advance()
            for task, paths in tasks.items():
                for seed, row in cast:
                    if task in row.tasks:
                        home: Path = getattr(paths, row.part)
                        text = corpus.annotation_text(seed, row.name, task)
                        run_folder.write_text(home / f"{_name(seed, row.name)}.txt", text)
            run_folder.write_text(done, version + "\n")
    return Corpus(name="demo-splits", frames=[frames.resolve()], **tasks)


def _name(seed: int, video: str) -> str:
    return f"s{seed}-{video}"


def _video(job: tuple[Path, int, str]) -> None:
    """Render one video beside `frames` and move it there."""
    frames, seed, name = job
    beside = frames.parent / "rendered" / str(seed)
    beside.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(beside / name, ignore_errors=True)  # of a run that was killed before it moved it
    corpus.render_video((beside, seed, name))
    (beside / name).replace(frames / _name(seed, name))
