"""Trained blends on anybody's video: faces -> features -> heads -> blend -> a table, an annotated video, a timeline.

A video is read frame by frame and crops lie on disk, so memory does not grow with its length but for some hundred bytes
a frame.
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from extract.engines.create import EngineCache
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from blend.predict.frames import Source
    from blend.predict.source import DetectedFaces, VideoSource
    from extract.faces.people import PeopleOptions

DEFAULT = "enet_b0_8_va_mtl"
"""The network of `--pretrained` without a name: it has expressions, valence and arousal."""


class Predictor(AbstractContextManager["Predictor"]):
    """Blends of up to three tasks, or a network by itself, ready for one video after the other.

    >>> with Predictor("runs/demo/blend/au", "runs/demo/blend/expr") as predictor:
    ...     table = predictor.predict("clip.mp4")
    >>> table = Predictor(pretrained="enet_b0_8_va_mtl").predict("clip.mp4")      # a network by itself

    Models and engines are loaded with the first video that has a face, and stay until `close` or the end of the `with`
    block. Several threads may share a predictor: their videos are done one after the other.
    """

    def __init__(
        self, *blends: str | Path, pretrained: str | None = None, config: str | Path | None = None, size: int = 112,
        detector: str | Path | None = None,
    ) -> None:  # fmt: skip
        """Blends by their folders (`<work>/blend/<task>`), or `pretrained`, a network's name (`DEFAULT` is a good one).

        A network by itself gives its own expressions, valence and arousal, whatever it has of them. `config` is the
        TOML file that has a network of one's own as [networks.<name>]; blends know theirs. `size` is the edge of the
        face crops in pixels, `detector` the face detector's file (default: the cache, else downloaded once).

        Raises InputError for a folder that holds no blend, a blend whose heads cannot predict videos, and a network
        that is not known, whose file is not at hand, or that has neither expressions nor valence and arousal.
        """
        from blend.predict import features as video_features
        from blend.predict import pretrained_blends, trained_blends

        if blends and pretrained is not None:
            raise InputError(
                f"--pretrained {pretrained}: found --blend {blends[0]} beside it, expected one of them: a network by "
                f"itself, or blends; leave one out"
            )
        given = Path(config) if config is not None else None
        if pretrained is not None:
            self.blends, self.networks = pretrained_blends.find(pretrained, given)
        elif blends:
            self.blends = trained_blends.find(Path(folder) for folder in blends)
            self.networks = video_features.settings(self.blends, given)
        else:
            raise InputError(
                "--blend: found none, expected the folder of a blend, as in --blend runs/demo/blend/au; or give "
                "--pretrained, for what a network says of itself"
            )
        self.size, self.detector = size, Path(detector) if detector is not None else None
        self._engines = EngineCache()
        self._lock = threading.RLock()
        self._closed = False

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of models and engines; from then on nothing can be predicted. Closing it again does nothing."""
        with self._lock:
            self._engines.clear()
            self.blends, self._closed = [], True

    @cached_property
    def note(self) -> str:
        """What every output says of what made it; empty: nothing needs saying."""
        from blend.predict.trained_blends import make_note

        return make_note(self.blends, self.networks)

    @property
    def tasks(self) -> list[str]:
        """The tasks that are predicted, of "expr", "au", "va"."""
        return [item.task.name for item in self.blends]

    def predict(
        self, source: Source, *, faces: int = 1, ids: bool = False, min_face: float | None = None,
        min_score: float | None = None, fps: float = 30.0,
    ) -> pd.DataFrame:  # fmt: skip
        """Predict a video or a picture: the table that `python -m blend.predict` writes, with the same numbers.

        >>> predictor.predict("clip.mp4")                     # a file; a folder of crops 00001.jpg, ... or of pictures
        >>> predictor.predict(frames, fps=25)                 # uint8 [T, H, W, 3], RGB; or an iterator of [H, W, 3]
        >>> predictor.predict(picture)[["face", "AU12"]]      # one picture, uint8 [H, W, 3] or its path
        >>> predictor.predict("party.mp4", faces=5)           # up to five people at once, by number

        Returns a row per frame and face (columns: blend.predict.table.build). `faces` 2 follows the left and the right
        person; of more, or with `ids`, everybody has a number (`face`), at most so many at once. Then faces below
        `min_face` pixels (default: 30) are passed over, and so are those of which the detector was never `min_score`
        sure (default: 0.8). `fps` are the frames per second of frames in memory and of folders of crops; a
        file knows its own. Frames are kept on disk while they are predicted, at about half of their size in memory.

        Raises InputError for what is no video or picture. Of a video that breaks off the frames before that are
        predicted, with a warning.
        """
        from blend.predict import frames
        from blend.predict.source import choose_people

        people = choose_people(faces, ids, min_face, min_score)
        with tempfile.TemporaryDirectory(prefix="affect-heads-") as work, self._lock:
            table, result = self.table(frames.as_video(source, Path(work), fps), Path(work), faces, people)
        if result.defect:
            warnings.warn(f"{result.defect}; the other frames were predicted", stacklevel=2)
        return table

    def table(
        self, clip: VideoSource, work: Path, faces: int, people: PeopleOptions | None = None
    ) -> tuple[pd.DataFrame, DetectedFaces]:
        """The table of a video and where its faces are; with `people` by number. Crops and features stay below `work`,
        and what is there already is taken.
        """
        from blend.predict import features as video_features
        from blend.predict import scores as video_predictions
        from blend.predict import table as prediction_table
        from blend.predict.source import PictureFolder
        from extract.runtime.progress import progress, step

        if self._closed:
            raise InputError("this predictor is closed; make a new one, or predict inside the `with` block")
        step("faces")
        result = clip.find_faces(work, faces, self.size, self.detector, people)
        blended = {}
        if any(len(frames) for frames, _ in result.people):
            step("features")
            try:
                video_features.extract(self.blends, self.networks, clip, result, work, self._engines)
            except BaseException:
                self._engines.clear()  # pictures may still be on their way
                raise
            step("heads")
            with progress(f"predict {clip.name}", sum(len(item.heads) for item in self.blends), "heads") as bar:
                spans = result.spans(1 if clip.is_album else result.frames)
                blended = video_predictions.predict(self.blends, work, spans, lambda note: bar.advance(1, note))
        if isinstance(clip, PictureFolder):
            return prediction_table.build_album(clip, result, blended, self.tasks, self.note), result
        return prediction_table.build(result, blended, self.tasks, self.note), result
