"""The folder of one predicted video: everything that is left there, whole, and DONE last."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blend.film import drawing
from blend.predict import annotate, video_writer
from blend.predict import table as prediction_table
from blend.predict import timeline as prediction_timeline
from blend.predict.source import DetectedFaces, VideoSource
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError
from extract.runtime.progress import progress, step

if TYPE_CHECKING:
    import pandas as pd

    from blend.predict.predictor import Predictor
    from extract.faces.people import PeopleOptions

STEPS = ("faces", "features", "heads", "video")
"""What a video goes through."""
CSV, PARQUET = "predictions.csv", "predictions.parquet"
TABLES: dict[str, tuple[str, ...]] = {"csv": (CSV,), "parquet": (PARQUET,), "both": (CSV, PARQUET)}
ALBUM = "annotated"
"""The folder of annotated pictures, of a folder of pictures."""
VIDEO, STILL, TIMELINE, SUMMARY = "annotated.mp4", "annotated.png", "timeline.html", "summary.json"
WORK = ".work"
"""Crops and features while they are needed, and what they were made of."""
RECORD = "made_of.json"


@dataclass(frozen=True)
class OutputOptions:
    """What is asked for."""

    faces: int
    table_format: str
    video: bool
    keep: bool
    people: PeopleOptions | None = None
    """Everybody by number; None: as many as `faces` says, by their place."""


def make(predictor: Predictor, clip: VideoSource, folder: Path, wanted: OutputOptions) -> dict[str, Any]:
    """Predict a video into its folder, unless that is done; returns its summary. Raises InputError as `main` does."""
    crops = clip.facts() | {"faces": wanted.faces, "size": predictor.size}
    if wanted.people:
        crops["people"] = asdict(wanted.people)
    facts = {
        "video": crops, "blends": {item.task.place: item.mark for item in predictor.blends},
        "networks": predictor.networks, "table": wanted.table_format, "annotated": wanted.video,
        "code": run_folder.code_hash("blend", ("studies", "bench", "report")),
    }  # fmt: skip
    mark = run_folder.fingerprint(facts)
    with run_folder.hold_folder(folder):
        if not run_folder.is_done(folder, mark):
            run_folder.begin(folder)
            work = _work(folder / WORK, crops)
            results = _predict(predictor, clip, folder, work, wanted)
            run_folder.finish(folder, mark, facts, results)
            if not wanted.keep:
                shutil.rmtree(work)
        said: dict[str, Any] = inputs.parse_json((folder / SUMMARY).read_text(encoding="utf-8"))
    return said | {"files": {name: str(folder / file) for name, file in said["files"].items()}}


def _work(work: Path, crops: dict[str, Any]) -> Path:
    """The folder of crops and features; emptied where they are of another video or made otherwise."""
    mark = run_folder.fingerprint(crops)
    with suppress(OSError, ValueError, KeyError):
        if inputs.parse_json((work / RECORD).read_text(encoding="utf-8"))["mark"] == mark:
            return work
    shutil.rmtree(work, ignore_errors=True)
    run_folder.write_json(work / RECORD, {"mark": mark})
    return work


def _predict(predictor: Predictor, clip: VideoSource, folder: Path, work: Path, wanted: OutputOptions) -> list[str]:
    """Write everything but DONE; returns the names of the results."""
    table, result = predictor.table(clip, work, wanted.faces, wanted.people)
    files = {Path(name).suffix[1:]: name for name in TABLES[wanted.table_format]}
    for old in {CSV, PARQUET, VIDEO, STILL, TIMELINE}.difference(files.values()):
        (folder / old).unlink(missing_ok=True)
    shutil.rmtree(folder / ALBUM, ignore_errors=True)
    for name in files.values():
        prediction_table.write(table, folder / name)
    sound, results = "", [*files.values(), SUMMARY]
    if wanted.video:
        step("video")
        if clip.is_album:
            results += _annotate_album(clip, table, folder, predictor.note)
            files["pictures"] = ALBUM
        else:
            sound = _annotate(clip, table, result, folder, predictor.note)
            files |= {"video": VIDEO, "still": STILL}
            results += [VIDEO, STILL]
    if not clip.is_album:
        files["timeline"] = TIMELINE
        results.append(TIMELINE)
    faces = prediction_table.summary(table.assign(face="of all") if clip.is_album and wanted.people else table)
    rate, last = result.timing.rate, result.timing.seconds[-1]
    pace = {"rate": round(float(rate), 6), "seconds": round(float(last + 1 / rate), 4)}
    said = {
        "video": clip.name, "source": str(clip.path.absolute()), "frames": result.frames,
        **({} if clip.is_album else pace), "faces": faces,
        "blends": {item.task.place: str(item.folder) for item in predictor.blends},
        "sound": sound, "broken": result.defect, "files": files,
        **({"note": predictor.note} if predictor.note else {}),
    }  # fmt: skip
    if not clip.is_album:
        params = [entry.params for entry in predictor.blends]
        run_folder.write_text(folder / TIMELINE, prediction_timeline.render(table, said, params, result.timing.seconds))
    run_folder.write_json(folder / SUMMARY, said)
    return results


def _annotate_album(clip: VideoSource, table: pd.DataFrame, folder: Path, note: str) -> list[str]:
    """Draw every picture that can be read, under its own name; returns the names of the files."""
    results = []
    (folder / ALBUM).mkdir(exist_ok=True)
    for name in clip.names:
        file = f"{ALBUM}/{name}"
        try:
            [picture] = VideoSource(clip.path / name, clip.fps).pictures(1)
        except InputError:
            continue  # told with the faces: `broken`
        faces = drawing.Face.all_of(table[table["picture"] == name])
        painter = annotate.Painter(faces, *picture.shape[:2], np.zeros(1), note, name)
        kind = "png" if file.lower().endswith("png") else "jpeg"
        with run_folder.write_whole(folder / file) as temporary:
            Image.fromarray(painter.frame(0, picture)).save(temporary, format=kind, quality=92)
        results.append(file)
    return results


def _annotate(clip: VideoSource, table: pd.DataFrame, result: DetectedFaces, folder: Path, note: str) -> str:
    """Draw the video, and the one frame of it that shows most. Returns what became of its sound."""
    pictures = clip.pictures(result.frames)
    first, faces = next(pictures), drawing.Face.all_of(table)
    painter = annotate.Painter(faces, *first.shape[:2], result.timing.seconds, note)
    best = drawing.moment(faces, result.frames)
    with progress(f"draw {clip.name}", result.frames, "frames") as bar:

        def drawn() -> Iterator[NDArray[np.uint8]]:
            for row, picture in enumerate(chain([first], pictures)):
                frame = painter.frame(row, picture)
                if row == best:
                    with run_folder.write_whole(folder / STILL) as temporary:
                        Image.fromarray(frame).save(temporary, format="png")
                yield frame
                bar.advance()

        source = None if clip.is_folder else clip.path
        return video_writer.write(folder / VIDEO, drawn(), painter.size, result.timing, source)
