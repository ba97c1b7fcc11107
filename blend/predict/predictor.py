"""Trained blends on anybody's video: faces -> features -> heads -> blend -> a table, an annotated video, a timeline.

    python -m blend.predict clip.mp4 --blend runs/demo/blend/au --blend runs/demo/blend/expr

    predictor = Predictor.load("runs/demo/blend/au", "runs/demo/blend/expr")
    table = predictor.video("clip.mp4")      # a pandas DataFrame, a row per frame
    table = Predictor.pretrained("enet_b0_8_va_mtl").video("clip.mp4")      # a network by itself, without a blend

A video is read frame by frame and crops lie on disk, so memory does not grow with its length but for some hundred bytes
a frame.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from blend.predict.source import DetectedFaces, VideoSource
    from blend.predict.trained import TrainedBlend

DEFAULT = "enet_b0_8_va_mtl"
"""The network of `--pretrained` without a name: it has expressions, valence and arousal."""


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

    @staticmethod
    def pretrained(network: str = DEFAULT, config: str | Path | None = None) -> Predictor:
        """A network by itself, without a blend: its own expressions, valence and arousal, whatever it has of them.

        `config` is the TOML file that has a network of one's own as [networks.<name>]. Raises InputError for a network
        that is not known, whose file is not at hand, or that has neither.
        """
        from blend.predict import pretrained

        return Predictor(*pretrained.find(network, Path(config) if config is not None else None))

    @cached_property
    def note(self) -> str:
        """What every output says of what made it; empty: nothing needs saying."""
        from blend.predict.trained import make_note

        return make_note(self.trained, self.networks)

    @property
    def tasks(self) -> list[str]:
        """The tasks that are predicted, of "expr", "au", "va"."""
        return [item.task.name for item in self.trained]

    def video(
        self,
        path: str | Path,
        *,
        faces: int = 1,
        size: int = 112,
        fps: float = 30.0,
        detector: str | Path | None = None,
    ) -> pd.DataFrame:
        """Predict every frame of a video file, of a folder of face crops (00001.jpg, ... at `fps`) or of pictures.

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
        from blend.predict.source import PictureFolder
        from extract.runtime.progress import progress, step

        step("faces")
        result = clip.find_faces(work, faces, size, detector)
        blended = {}
        if any(len(frames) for frames, _ in result.people):
            step("features")
            video_features.extract(self.trained, self.networks, clip, result, work)
            step("heads")
            with progress(f"predict {clip.name}", sum(len(item.heads) for item in self.trained), "heads") as bar:
                frames = 1 if clip.is_album else result.frames
                blended = video_predictions.predict(
                    self.trained, work, result.videos, frames, lambda note: bar.advance(1, note)
                )
        if isinstance(clip, PictureFolder):
            return prediction_table.build_album(clip, result, blended, self.tasks, self.note), result
        return prediction_table.build(result, blended, self.tasks, self.note), result
