"""Several videos, one after the other, into a folder each; and what was found in them, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from blend.predict.predictor import Predictor
from extract.runtime.console import console

DEFAULT_OUT = Path("predicted")
MAX_FACES = 20
"""Faces of a video that the terminal lists; summary.json has all."""
Format = Literal["csv", "parquet", "both"]


def main(
    videos: list[Path], blends: list[Path] | None, out: Path = DEFAULT_OUT, *, faces: int = 1, ids: bool = False,
    min_face: float | None = None, min_score: float | None = None, size: int = 112, fps: float = 30.0,
    table_format: Format = "csv", video: bool = True, config: Path | None = None, detector: Path | None = None,
    keep: bool = False, pretrained: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Predict videos into `<out>/<video>/`; returns what is said of each (its `summary.json`).

    Each folder gets predictions.csv (or .parquet, or both), annotated.mp4 and one frame of it, annotated.png (unless
    not `video`), timeline.html, summary.json, and DONE last. A folder that was finished from the same video, blends and
    settings is left alone; of one that was not, crops and features that are there are taken. `keep` keeps them when all
    is done; the other options are `Predictor`'s. Of several videos one that cannot be read is told in what is returned
    (`broken`, no `frames`), and the others are predicted. Raises InputError for blends and videos that cannot be used;
    videos finished before that stay.
    """
    from blend.predict import folder as prediction_folder
    from blend.predict import source as video_source
    from extract.runtime.progress import steps

    people = video_source.choose_people(faces, ids, min_face, min_score)
    clips = video_source.clips(videos, fps)
    predictor = Predictor(*(blends or ()), pretrained=pretrained, config=config, size=size, detector=detector)
    wanted = prediction_folder.OutputOptions(faces, table_format, video, keep, people)
    said = []
    for number, clip in enumerate(clips, 1):
        what = f"{clip.name} ({number} of {len(clips)})" if len(clips) > 1 else clip.name
        try:
            with steps(what, prediction_folder.STEPS):
                said.append(prediction_folder.make(predictor, clip, out / clip.name, wanted))
        except video_source.NoVideo as error:
            if len(clips) == 1:
                raise
            nothing = {"video": clip.name, "source": str(clip.path.absolute()), "frames": 0, "faces": [], "files": {}}
            said.append(nothing | {"broken": str(error)})
    return said


def show(said: list[dict[str, Any]]) -> None:
    """Print what was found in the videos, as a table, and where it is."""
    from rich.table import Table

    from blend.predict.table import in_words

    shown = Table("video", "frames", "face", "with a face", "what it shows, by share of these frames, or on average")
    for item in said:
        nobody = [{"face": "", "frames": 0}] if item["frames"] else []
        for number, face in enumerate(item["faces"][:MAX_FACES] or nobody):
            name, frames = (item["video"], f"{item['frames']:,}") if number == 0 else ("", "")
            shown.add_row(name, frames, str(face["face"]), f"{face['frames']:,}", in_words(face))
        if (more := len(item["faces"]) - MAX_FACES) > 0:
            shown.add_row("", "", f"and {more} more", "", "")
    console().print(shown)
    for item in said:
        if item["frames"] and not any(face["frames"] for face in item["faces"]):
            print(f"{item['video']}: no face was found in it ({item['frames']:,} frames): its predictions are empty")
        for path in item["files"].values():
            print(path)
