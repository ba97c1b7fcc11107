"""The folder of one predicted video: everything that is left there, whole, and DONE last."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend import predict_table, predict_timeline
from extract import rundir
from extract.progress import progress, step

if TYPE_CHECKING:
    import pandas as pd

    from blend.predict import Predictor
    from blend.predict_source import Clip, Found

STEPS = ("faces", "features", "heads", "video")
"""What a video goes through."""
CSV, PARQUET = "predictions.csv", "predictions.parquet"
TABLES: dict[str, tuple[str, ...]] = {"csv": (CSV,), "parquet": (PARQUET,), "both": (CSV, PARQUET)}
VIDEO, STILL, TIMELINE, SUMMARY = "annotated.mp4", "annotated.png", "timeline.html", "summary.json"
WORK = ".work"
"""Crops and features while they are needed, and what they were made of."""
MADE_OF = "made_of.json"


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    faces: int
    size: int
    table_format: str
    video: bool
    detector: Path | None
    keep: bool


def make(predictor: Predictor, clip: Clip, folder: Path, wanted: Wanted) -> dict[str, Any]:
    """Predict a video into its folder, unless that is done; returns its summary. Raises InputError as `main` does."""
    crops = clip.facts() | {"faces": wanted.faces, "size": wanted.size}
    facts = {
        "video": crops,
        "blends": {one.task.place: one.mark for one in predictor.trained},
        "networks": predictor.networks,
        "table": wanted.table_format,
        "annotated": wanted.video,
        "code": rundir.code_hash(Path(__file__).parent),
    }
    mark = rundir.fingerprint(facts)
    with rundir.holding(folder):
        if not rundir.is_done(folder, mark):
            rundir.begin(folder)
            work = _work(folder / WORK, crops)
            results = _predict(predictor, clip, folder, work, wanted)
            rundir.finish(folder, mark, facts, results)
            if not wanted.keep:
                shutil.rmtree(work)
        said: dict[str, Any] = rundir.parse_json((folder / SUMMARY).read_text(encoding="utf-8"))
    return said | {"files": {name: str(folder / file) for name, file in said["files"].items()}}


def _work(work: Path, crops: dict[str, Any]) -> Path:
    """The folder of crops and features; emptied where they are of another video or made otherwise."""
    mark = rundir.fingerprint(crops)
    try:
        if rundir.parse_json((work / MADE_OF).read_text(encoding="utf-8"))["mark"] == mark:
            return work
    except (OSError, ValueError, KeyError):
        pass
    shutil.rmtree(work, ignore_errors=True)
    rundir.write_json(work / MADE_OF, {"mark": mark})
    return work


def _predict(predictor: Predictor, clip: Clip, folder: Path, work: Path, wanted: Wanted) -> list[str]:
    """Write everything but DONE; returns the names of the results."""
    table, found = predictor.table(clip, work, wanted.faces, wanted.size, wanted.detector)
    files = {}
    for name in (CSV, PARQUET):
        if name in TABLES[wanted.table_format]:
            predict_table.write(table, folder / name)
            files[Path(name).suffix[1:]] = name
        else:
            (folder / name).unlink(missing_ok=True)
    sound = ""
    for name in (VIDEO, STILL):
        (folder / name).unlink(missing_ok=True)
    if wanted.video:
        step("video")
        sound = _annotate(clip, table, found, folder)
        files |= {"video": VIDEO, "still": STILL}
    files["timeline"] = TIMELINE
    said = {
        "video": clip.name,
        "source": str(clip.path.absolute()),
        "frames": found.frames,
        "rate": round(float(found.timing.rate), 6),
        "seconds": round(float(found.timing.seconds[-1] + 1 / found.timing.rate), 4),
        "faces": predict_table.summary(table),
        "blends": {one.task.place: str(one.folder) for one in predictor.trained},
        "sound": sound,
        "broken": found.broken,
        "files": files,
    }
    page = predict_timeline.render(table, said, [one.params for one in predictor.trained])
    rundir.write_text(folder / TIMELINE, page)
    rundir.write_json(folder / SUMMARY, said)
    return [*files.values(), SUMMARY]


def _annotate(clip: Clip, table: pd.DataFrame, found: Found, folder: Path) -> str:
    """Draw the video, and the one frame of it that shows most. Returns what became of its sound."""
    from itertools import chain

    from PIL import Image

    from blend import annotate, annotate_video

    pictures = clip.pictures(found.frames)
    first = next(pictures)
    faces = annotate.Face.all_of(table)
    painter = annotate.Painter(faces, first.shape[0], first.shape[1], found.timing.seconds)
    best = annotate.moment(faces)
    with progress(f"draw {clip.name}", found.frames, "frames") as bar:

        def drawn() -> Iterator[NDArray[np.uint8]]:
            for row, frame in enumerate(painter.frames(chain([first], pictures))):
                if row == best:
                    with rundir.writing(folder / STILL) as temporary:
                        Image.fromarray(frame).save(temporary, format="png")
                yield frame
                bar.advance()

        source = None if clip.is_folder else clip.path
        return annotate_video.write(folder / VIDEO, drawn(), painter.size, found.timing, source)
