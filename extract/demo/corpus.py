"""Write the demo corpus in the ABAW folder layout: pictures, annotations, test lists, and the truth of the test part.

Every video is rendered into a hidden folder and renamed when complete; `DONE` is written last. After a kill at any
moment the next call goes on where it stopped and ends with the same bytes.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from filelock import FileLock

from extract.runtime.process import hidden_script
from extract.runtime.run_folder import sweep, write_text, write_whole

from . import affect, multitask, plan, sound
from .plan import DEMO_VIDEOS, SEED, DemoVideo
from .render import Renderer

Job, Result = TypeVar("Job"), TypeVar("Result")
Progress = Callable[[int, int], None]
"""Told how much is done, and how much there is in all."""

VERSION = f"demo corpus 2, seed {SEED}"
"""Written into DONE. Raise the number with every change that alters a picture: other versions are made anew."""
ANNOTATIONS = "annotations 2"
SOUND = "sound 1"
"""The same of what goes with the pictures: of another version, it is written again, and the pictures stay."""

JPEG_QUALITY = 88

CHALLENGES = {"au": "AU_Detection_Challenge", "expr": "EXPR_Classification_Challenge", "va": "VA_Estimation_Challenge"}
MULTI_TASK = "MTL_Challenge"
SETS = {"train": "Train_Set", "val": "Validation_Set"}
HEADERS = {"au": ",".join(affect.AU_NAMES), "expr": ",".join(affect.EXPRESSIONS), "va": "valence,arousal"}
# Official lists come in two styles: a bare trailing comma, or dummy values. The VA list is of the second kind.
_LIST_ENDINGS = {"au": ",", "expr": ",", "va": ",0,0"}


def paths(folder: Path) -> dict:
    """Name the parts of a corpus in `folder`, whether made or not: `frames` (folder of videos), `videos` (folder of
    their sound), `fps`; `au`, `expr` and `va`, each with `train` and `val` (annotation folders) and `test` (official
    list); `mtl` likewise, with files for folders; `truth` with the folder (for `mtl` the file) of the test annotations
    of each task, for final scoring only.
    """
    folder = Path(folder)
    out: dict = {"frames": folder / "cropped_aligned", "videos": folder / "sound", "fps": sound.FPS, "truth": {}}
    for task, challenge in CHALLENGES.items():
        out[task] = {part: folder / challenge / name for part, name in SETS.items()}
        out[task]["test"] = folder / "test_set" / f"{task.upper()}_test_set.txt"
        out["truth"][task] = folder / "test_truth" / task
    multi = folder / MULTI_TASK
    out["mtl"] = {"train": multi / "training_set_annotations.txt", "val": multi / "validation_set_annotations.txt"}
    out["mtl"]["test"] = folder / "test_set" / "MTL_test_set.txt"
    out["truth"]["mtl"] = folder / "test_truth" / "mtl.txt"
    return out


def size() -> tuple[int, int]:
    """Frames in all, and videos."""
    return sum(row.frames for row in DEMO_VIDEOS), len(DEMO_VIDEOS)


def is_done(folder: Path) -> bool:
    """Whether `folder` holds a complete corpus of this version."""
    mark = Path(folder) / "DONE"
    return mark.is_file() and mark.read_text().split("\n") == [VERSION, ANNOTATIONS, ""]


def has_sound(folder: Path) -> bool:
    """Whether `folder` holds the sound tracks of this version."""
    mark = paths(folder)["videos"] / "DONE"
    return mark.is_file() and mark.read_text().split("\n") == [VERSION, SOUND, ""]


def make(folder: Path, on_progress: Progress = lambda done, total: None, processes: int = 2) -> None:
    """Render and write whatever is missing of the corpus, `processes` videos at a time; `on_progress` is told (frames
    done, frames in all) after every video.

    Two callers at once are fine: the second waits, then finds the corpus done.
    """
    folder = Path(folder)
    if is_done(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if is_done(folder):
            return
        clear_other_version(folder, VERSION, ["cropped_aligned", "sound", MULTI_TASK, *CHALLENGES.values()])
        _render_all(folder, on_progress, processes)
        _write_texts(folder)
        replace_text(folder / "DONE", f"{VERSION}\n{ANNOTATIONS}\n")


def make_sound(folder: Path) -> None:
    """Write whatever is missing of the sound tracks: seconds that only what hears has to wait for."""
    home = paths(folder)["videos"]
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(Path(folder) / ".lock"):
        if has_sound(folder):
            return
        for name, rows in sound.tracks(DEMO_VIDEOS).items():
            path = home / f"{name}.wav"
            sweep(path)
            with write_whole(path) as temporary:
                temporary.write_bytes(sound.encode(sound.render(SEED, rows)))
        replace_text(home / "DONE", f"{VERSION}\n{SOUND}\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file in place of whatever a killed process left of it."""
    sweep(path)
    write_text(path, text)


def clear_other_version(folder: Path, version: str, names: Iterable[str]) -> None:
    """Remove what another version left of the folders `names` and of test, complete or not, and note the version that
    is about to be written.
    """
    note = folder / ".version"
    if not note.is_file() or note.read_text().strip() != version:
        (folder / "DONE").unlink(missing_ok=True)
        for name in (*names, "test_set", "test_truth"):
            if (folder / name).exists():
                shutil.rmtree(folder / name)
        write_text(note, version + "\n")


def _render_all(folder: Path, on_progress: Progress, processes: int) -> None:
    """Render the missing videos, one process per video at a time."""
    frames = paths(folder)["frames"]
    frames.mkdir(parents=True, exist_ok=True)
    todo = [row for row in DEMO_VIDEOS if not (frames / row.name).is_dir()]
    todo.sort(key=lambda row: -row.frames)  # the longest first: the processes end at about the same time
    total = sum(row.frames for row in DEMO_VIDEOS)
    done = total - sum(row.frames for row in todo)
    on_progress(done, total)
    for name in run_jobs(render_video, [(frames, SEED, row.name) for row in todo], processes):
        done += plan.video(name).frames
        on_progress(done, total)
    # Other processes hold no lock on what a killed run left; complete ones have been renamed by now.
    for left in frames.glob(".*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def run_jobs(function: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """Yield what `function` gives for each of the jobs, as soon as it is there."""
    if processes <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    # Spawned, not forked: the caller may hold threads of other libraries.
    with hidden_script():
        pool = multiprocessing.get_context("spawn").Pool(min(processes, len(jobs)), _one_thread)
    with pool:
        yield from pool.imap_unordered(function, jobs)
        pool.close()
        pool.join()


def _one_thread() -> None:
    """Keep OpenCV of one worker to one core."""
    cv2.setNumThreads(1)


def pictures(seed: int, name: str) -> Iterator[tuple[int, np.ndarray]]:
    """Draw a video: (1-based frame number, uint8 [112, 112, 3] blue-green-red) of every frame that has a face."""
    renderer, states = Renderer(plan.identity(seed, name)), plan.motion(seed, name).states
    seen = np.flatnonzero(plan.has_face(plan.video(name))).tolist()
    noise = (plan.stream(seed, name, f"noise {i}") for i in seen)
    yield from zip((i + 1 for i in seen), renderer.film([states[i] for i in seen], noise), strict=True)


def render_video(job: tuple[Path, int, str]) -> str:
    """Write one video's pictures and move them into place.

    `job` is the folder of all videos, the corpus's seed and the video's name, which is returned.
    """
    frames, seed, name = job
    # The process id keeps us apart from an orphan of a killed run that is still busy with the same video.
    partial = frames / f".{name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for number, image in pictures(seed, name):
        (partial / f"{number:05d}.jpg").write_bytes(encode(image, f"frame {number} of {name}"))
    try:
        os.replace(partial, frames / name)
    except OSError:
        if not (frames / name).is_dir():
            raise
        shutil.rmtree(partial)  # somebody was faster, with the same bytes
    return name


def encode(image: np.ndarray, name: object) -> bytes:
    """A picture as JPEG. Raises RuntimeError, which names it as `name`, where OpenCV fails."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {name}")
    return data.tobytes()


def annotation_text(seed: int, name: str, task: str) -> str:
    """What the official annotation file of a video of the cast holds, were the corpus of this seed."""
    return "\n".join([HEADERS[task], *_rows(plan.annotation(seed, name, task), task)]) + "\n"


def _rows(values: np.ndarray, task: str) -> list[str]:
    """Format annotation rows as the official files do."""
    style = "{:.3f}" if task == "va" else "{:d}"
    unlabelled = affect.UNLABELLED_AFFECT
    return [",".join("-5" if v == unlabelled else style.format(v) for v in row) for row in values.tolist()]


def _write_texts(folder: Path) -> None:
    """Write annotations, test lists and the test part's truth."""
    where = paths(folder)
    for task in plan.TASKS:
        rows = [row for row in DEMO_VIDEOS if task in row.tasks]
        for row in rows:
            home = where["truth"][task] if row.part == "test" else where[task][row.part]
            replace_text(home / f"{row.name}.txt", annotation_text(SEED, row.name, task))
        listed = [_listed(row, task) for row in rows if row.part == "test"]
        replace_text(where[task]["test"], f"image_location,{HEADERS[task]}\n" + "".join(listed))
    for part in plan.PARTS:
        rows = [row for row in DEMO_VIDEOS if row.part == part]
        path = where["truth"]["mtl"] if part == "test" else where["mtl"][part]
        replace_text(path, f"{multitask.HEADER}\n" + "".join(multitask.write_annotation(SEED, row) for row in rows))
    listed = [multitask.write_list(row) for row in DEMO_VIDEOS if row.part == "test"]
    replace_text(where["mtl"]["test"], f"{multitask.LIST_HEADER}\n" + "".join(listed))


def _listed(row: DemoVideo, task: str) -> str:
    """Lines of a test list for every frame of a video, with or without a face."""
    return "".join(f"{row.name}/{number:05d}.jpg{_LIST_ENDINGS[task]}\n" for number in range(1, row.frames + 1))
