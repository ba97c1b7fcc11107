"""Trained blends on anybody's video: faces -> features -> heads -> blend -> a table, an annotated video, a timeline.

    python -m blend.predict clip.mp4 --blend runs/demo/blend/au --blend runs/demo/blend/expr

    predictor = Predictor.load("runs/demo/blend/au", "runs/demo/blend/expr")
    table = predictor.video("clip.mp4")      # a pandas DataFrame, a row per frame

A video is read frame by frame and crops lie on disk, so memory does not grow with its length but for some hundred bytes
a frame.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from extract.runtime.console import console

if TYPE_CHECKING:
    import pandas as pd

    from blend.predict.source import DetectedFaces, VideoSource
    from blend.predict.trained import TrainedBlend


DEFAULT_OUT = Path("predicted")
Format = Literal["csv", "parquet", "both"]


class Predictor:
    """Blends of up to three tasks, ready for one video after the other; models are loaded with the first."""

    def __init__(self, trained: list[TrainedBlend], networks: dict[str, Any]) -> None:
        self.trained, self.networks = trained, networks

    @staticmethod
    def load(*blends: str | Path, config: str | Path | None = None) -> Predictor:
        """Blends by their folders (`<work>/blend/<task>`); `config` is needed only for networks that are on no record.

        Raises InputError for a folder that holds no blend, or a blend whose heads cannot predict videos.
        """
        from blend.predict import features as video_features
        from blend.predict import trained as predict_blends

        trained = predict_blends.find(Path(folder) for folder in blends)
        return Predictor(trained, video_features.settings(trained, Path(config) if config is not None else None))

    @property
    def tasks(self) -> list[str]:
        """The tasks that are predicted, of "expr", "au", "va"."""
        return [one.task.name for one in self.trained]

    def video(
        self,
        path: str | Path,
        *,
        faces: int = 1,
        size: int = 112,
        fps: float = 30.0,
        detector: str | Path | None = None,
    ) -> pd.DataFrame:
        """Predict every frame of a video file, or of a folder of face crops (00001.jpg, ... at `fps`).

        Returns a row per frame and face (columns: blend.predict.table.build). `faces` 2 follows the left and the right
        person, `size` is the crops' edge in pixels, `detector` the face detector's file. Raises InputError for a video
        that cannot be read.
        """
        from blend.predict import source as video_source

        [clip] = video_source.clips([Path(path)], fps)
        with tempfile.TemporaryDirectory(prefix="affect-heads-") as work:
            return self.table(clip, Path(work), faces, size, Path(detector) if detector is not None else None)[0]

    def table(
        self, clip: VideoSource, work: Path, faces: int, size: int, detector: Path | None
    ) -> tuple[pd.DataFrame, DetectedFaces]:
        """The table of a video and where its faces are. Crops and features stay below `work`, and what is there already
        is taken.
        """
        from blend.predict import features as video_features
        from blend.predict import scores as video_predictions
        from blend.predict import table as prediction_table
        from extract.runtime.progress import progress, step

        step("faces")
        found = clip.find_faces(work, faces, size, detector)
        blended = {}
        if any(len(frames) for frames, _ in found.people):
            step("features")
            video_features.extract(self.trained, self.networks, clip, found, work)
            step("heads")
            with progress(f"predict {clip.name}", sum(len(one.heads) for one in self.trained), "heads") as bar:
                blended = video_predictions.predict(
                    self.trained, work, found.videos, found.frames, lambda note: bar.advance(1, note)
                )
        return prediction_table.build(found, blended, self.tasks), found


def main(
    videos: list[Path],
    blends: list[Path],
    out: Path = DEFAULT_OUT,
    *,
    faces: int = 1,
    size: int = 112,
    fps: float = 30.0,
    table_format: Format = "csv",
    video: bool = True,
    config: Path | None = None,
    detector: Path | None = None,
    keep: bool = False,
) -> list[dict[str, Any]]:
    """Predict videos into `<out>/<video>/`; returns what is said of each (its `summary.json`).

    Each folder gets predictions.csv (or .parquet, or both), annotated.mp4 and one frame of it, annotated.png (unless
    not `video`), timeline.html, summary.json, and DONE last. A folder that was finished from the same video, blends and
    settings is left alone; of one that was not, crops and features that are there are taken. `keep` keeps them when all
    is done. Of several videos one that cannot be read is told in what is returned (`broken`, no `frames`), and the
    others are predicted. Raises InputError for blends and videos that cannot be used; videos finished before that stay.
    """
    from blend.predict import folder as prediction_folder
    from blend.predict import source as video_source
    from extract.runtime.progress import steps

    clips = video_source.clips(videos, fps)
    predictor = Predictor.load(*blends, config=config)
    wanted = prediction_folder.OutputOptions(faces, size, table_format, video, detector, keep)
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
    for one in said:
        for number, face in enumerate(one["faces"]):
            name, frames = (one["video"], f"{one['frames']:,}") if number == 0 else ("", "")
            shown.add_row(name, frames, face["face"], f"{face['frames']:,}", in_words(face))
    console().print(shown)
    for one in said:
        if one["frames"] and not any(face["frames"] for face in one["faces"]):
            print(f"{one['video']}: no face was found in it ({one['frames']:,} frames): its predictions are empty")
        for path in one["files"].values():
            print(path)
