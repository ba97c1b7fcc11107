"""A camera, an address or a pipe, predicted frame by frame: JSON lines, and pictures to look at.

Each frame is predicted as if the video ended with it: kernels, temporal and relative columns, and the face's box are
those that a file would have there which was cut off behind the frame; crops and scores of the frames before stay as
they were. So nothing waits for later frames, and nothing is learnt or tuned anew.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from extract.faces.steady_boxes import MEMORY
from extract.media.live import LiveFrame, LiveVideo, is_stream
from extract.runtime.errors import InputError, hide_password

if TYPE_CHECKING:
    from blend.predict.annotate import LivePainter
    from blend.predict.predictor import Predictor
    from blend.predict.trained_blends import TrainedBlend
    from extract.faces.people import PeopleOptions
    from extract.features.pictures import Features
    from heads.train.causal import FrameMemory

DIGITS = 7
"""Significant digits of a number, as in the tables."""
MEMORY_FRAMES = 1000
"""Frames after which what is remembered of a face that has gone is let go."""
AT_ONCE = 2.0
"""Seconds that a source gets to say that it is not there, before models are loaded."""
Row = dict[str, Any]


@dataclass(frozen=True)
class StreamOptions:
    """What is asked for: a new file `out` for the lines (None: stdout), `drop` as LiveVideo takes it, a port to `serve`
    browsers of this machine, a `window`, and the `people` to follow by number (None: the largest face).
    """

    out: Path | None = None
    drop: bool | None = None
    serve: int | None = None
    window: bool = False
    people: PeopleOptions | None = None


@dataclass
class Summary:
    """What became of a stream."""

    frames: int = 0
    drops: int = 0
    seconds: float = 0.0
    """Sum of all frames' latencies."""
    faces: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        mean = f", mean latency {1000 * self.seconds / self.frames:.0f} ms" if self.frames else ""
        return f"{self.frames:,} frames predicted, {self.drops:,} dropped{mean}, faces: {len(self.faces):,}"


def find_source(videos: list[str], camera: str | None) -> tuple[str, bool] | None:
    """The one stream that a command line names, and whether it is a camera; None: it names files.

    Raises InputError where a stream is not alone.
    """
    named = [word for word in videos if is_stream(word)]
    if camera is None and not named:
        return None
    if len(videos) + (camera is not None) > 1:
        this = f"--camera {camera}" if camera is not None else hide_password(named[0])
        raise InputError(f"{this}: expected nothing beside a stream, found {len(videos)} sources; give each by itself")
    return (named[0], False) if camera is None else (camera, True)


def main(source: str, camera: bool, predictor: Predictor, wanted: StreamOptions) -> Summary:
    """Predict a stream to its end, or to Ctrl-C: a JSON line per frame and face, of a frame without a face one.

    What cannot be told by the lines is told on stderr. Raises InputError for a source that is not there or breaks off,
    behind the lines of what it gave, and for blends that cannot predict a stream.
    """
    summary = Summary()
    if wanted.out is not None and wanted.out.exists():
        raise _is_there(wanted.out)
    with ExitStack() as stack:
        video = stack.enter_context(LiveVideo(source, camera, wanted.drop))
        view = View(wanted, predictor.note)
        stack.callback(view.close)
        video.start_event.wait(AT_ONCE)
        if (failure := video.failure()) is not None:
            raise failure
        live = LivePredictor(predictor, wanted.people)
        live.warm_up()
        for line in (predictor.note, live.describe_difference()):
            if line:
                print(f"note: {line}", file=sys.stderr)
        out = stack.enter_context(_new_file(wanted.out)) if wanted.out is not None else sys.stdout
        name = "stdin" if video.name == "-" else video.name
        print(f"reading {name}{view.place}; Ctrl-C ends it", file=sys.stderr, flush=True)
        try:
            with _ended_by_ctrl_c(video):
                for frame in video:
                    rows = live.predict(frame)
                    _write(out, frame, rows, predictor.note, summary)
                    if not view.show(frame, rows):
                        break
        finally:
            if summary.frames:
                print(summary, file=sys.stderr)
    return summary


@contextmanager
def _ended_by_ctrl_c(video: LiveVideo) -> Iterator[None]:
    """Ctrl-C ends the stream behind the frame that is under way; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        video.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _new_file(path: Path) -> TextIO:
    """A file for the lines, that is not there yet: a stream that broke off must not cost the one before."""
    try:
        return open(path, "x", encoding="utf-8")
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror}); give a new file") from None


def _is_there(path: Path) -> InputError:
    return InputError(f"--out {path}: is there already; give a new file for a stream's lines")


def _write(out: TextIO, frame: LiveFrame, rows: list[Row], note: str, summary: Summary) -> None:
    """Write a frame's lines, at once."""
    latency = time.monotonic() - frame.arrival
    summary.frames, summary.drops = summary.frames + 1, frame.drops
    summary.seconds += latency
    summary.faces |= {row["face"] for row in rows}
    first = {"frame": frame.number, "time": round(frame.seconds, 4)}
    last = ({"by": note} if note else {}) | {"latency_ms": round(1000 * latency, 1), "dropped": frame.drops}
    lines = [json.dumps(first | row | last, ensure_ascii=False) for row in rows or [{"face": None}]]
    out.write("\n".join(lines) + "\n")
    out.flush()


class LivePredictor:
    """Blends on one frame after the other; what it remembers of each face is bounded."""

    def __init__(self, predictor: Predictor, people: PeopleOptions | None = None) -> None:
        """Load the detector, the networks and the models. `people`: whom to follow by number; None: the largest face.

        Raises InputError where one of them needs sound, or frames that are still to come.
        """
        from blend.predict import features as video_features
        from blend.predict.trained_blends import list_audio_networks
        from extract import config as configs
        from extract.engines.create import EngineCache
        from extract.faces.detector import yunet
        from extract.faces.live import FaceFollower, LargestFace, NumberedFaces
        from extract.faces.tracker import Tracker
        from extract.features.pictures import PictureNetworks

        self.blends, self.size, sections = predictor.blends, predictor.size, predictor.networks
        _refuse_sound(self.blends, sections)
        _refuse_later_frames(self.blends)
        self.follower: FaceFollower = LargestFace()
        if people is not None:
            self.follower = NumberedFaces(Tracker(people.min_score, people.min_size), people.at_once)
        self.detect = yunet(predictor.detector, people.min_size) if people else yunet(predictor.detector)
        seen = [name for name in sections["features"]["networks"] if name not in list_audio_networks(sections)]
        sections = {**sections, "features": {**sections["features"], "networks": seen}}
        config = configs.check(configs.Config, {"corpus": {"name": "stream"}, **sections}, "the stream's networks")
        self.networks = PictureNetworks(config, EngineCache())
        for item in self.blends:
            for network in set(item.networks) & set(seen):
                video_features.check_origin(item, network, self.networks.about[network])
        self._people: dict[int, Person] = {}

    def warm_up(self) -> None:
        """Predict black, so that the first frame does not wait for what is loaded or compiled once."""
        black = np.zeros((self.size, self.size, 3), np.uint8)
        self.detect(black)
        person = Person(self.blends, self.networks.classes)
        for frame in (1, 2):
            person.predict(frame, *self.networks.run([black], frame))

    def predict(self, frame: LiveFrame) -> list[Row]:
        """The row of each face in a frame: its number, its box and what the blends say, as the tables name it."""
        from blend.predict.table import name_values
        from extract.faces.boxes import SIDES
        from extract.faces.crops import crop

        rows: list[Row] = []
        faces = self.follower.update(frame.number, self.detect(frame.pixels), frame.pixels)
        crops = [crop(frame.pixels, box, self.size) for _, box in faces]
        for (number, box), features in zip(faces, self.networks.run(crops, frame.number), strict=True):
            if number not in self._people:
                self._people[number] = Person(self.blends, self.networks.classes)
            row: Row = {"face": number} | {side: round(float(value), 2) for side, value in zip(SIDES, box, strict=True)}
            for task, scores, decided in self._people[number].predict(frame.number, features):
                values = name_values(task, scores[None], decided[None])
                row |= {name: _round(value) for name, [value] in values.items()}
            rows.append(row)
        for number in [number for number, person in self._people.items() if frame.number - person.last > MEMORY_FRAMES]:
            del self._people[number]
        return rows

    def describe_difference(self) -> str:
        """In what a stream's numbers differ from a file's; empty: in nothing but the faces' boxes."""
        from blend.decision import smooth

        parts = []
        for item in self.blends:
            if smooth.reach(item.params.kernel, item.params.k):
                k = item.params.k if isinstance(item.params.k, int) else f"up to {max(item.params.k)}"
                parts.append(f"smoothing of {item.task.name} ({item.params.kernel}, k = {k})")
            models: dict[str, Any] = {head: model for head, model in item.models.items() if hasattr(model, "head")}
            columns = {
                "temporal": [head for head, model in models.items() if model.temporal.tables],
                "relative": [head for head, model in models.items() if model.head.settings.relative.applies()],
            }
            own = f"columns of {item.task.name}"
            parts += [f"{kind} {own} ({', '.join(heads)})" for kind, heads in columns.items() if heads]
        if not parts:
            return ""
        return (
            f"a stream looks only back, each frame is predicted as if the video ended with it: {'; '.join(parts)}. Of "
            f"a file they look ahead, too, and weights and thresholds were found so: expect other numbers, and "
            f"decisions that come later"
        )


def _round(value: Any) -> Any:
    """An array's value as JSON has it."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _refuse_sound(trained: list[TrainedBlend], sections: Mapping[str, Any]) -> None:
    """Raise InputError for a blend whose heads cannot do without sound."""
    from blend.predict.trained_blends import list_audio_networks

    for item in trained:
        if needed := sorted(list_audio_networks(sections) & item.required_networks):
            raise InputError(
                f"{item.folder}: its heads read {needed[0]!r}, which hears, and a stream is only seen; blend heads "
                f"that see, or predict the video as a file"
            )


def _refuse_later_frames(trained: list[TrainedBlend]) -> None:
    """Raise InputError for a blend with a head that needs later frames: the others' weights were found beside it."""
    for item in trained:
        for head, model in item.models.items():
            if getattr(getattr(model, "head", None), "in_time", False):
                raise InputError(
                    f"{item.folder}: head {head!r} (weight {item.params.weights[item.params.heads.index(head)]}) reads "
                    f"the frames behind a frame, which a stream does not have yet; without it the other weights do not "
                    f"hold: make a blend without it (heads.{item.task.name}.use), or predict the video as a file"
                )


class Person:
    """What is remembered of one face: features as far back as columns reach, scores as far as kernels do."""

    def __init__(self, trained: list[TrainedBlend], classes: Mapping[str, tuple[str, ...]]) -> None:
        from blend.decision import smooth
        from heads.train import causal

        self.blends, self.classes, self.last = trained, classes, 0
        models = [model for item in trained for model in item.models.values() if hasattr(model, "temporal")]
        self._memory: FrameMemory = causal.create_memory(models)
        self._reach = [smooth.reach(item.params.kernel, item.params.k) for item in trained]
        self._scores: list[dict[int, dict[str, NDArray[np.float32]]]] = [{} for _ in trained]

    def predict(self, frame: int, features: Features) -> list[tuple[str, NDArray[np.float32], NDArray[np.generic]]]:
        """Of each blend its task, the frame's scores [outputs], blended and smoothed, and what is decided. Frame
        numbers rise.
        """
        self._memory.add(frame, features)
        results = []
        for item, reach, scores in zip(self.blends, self._reach, self._scores, strict=True):
            if frame - self.last > max(reach, MEMORY):
                scores.clear()  # out of the kernel's sight: nothing is filled in from there
            scores[frame] = {head: self._predict_head(model) for head, model in item.models.items()}
            results.append((item.task.name, *smooth_last(item, scores)))
            for old in [number for number in scores if number < frame - reach][:-1]:
                del scores[old]  # but the last before the kernel's sight: gaps are filled in from there
        self.last = frame
        return results

    def _predict_head(self, model: Any) -> NDArray[np.float32]:
        from blend.predict.pretrained_blends import NetworkHead
        from heads.train import causal

        if isinstance(model, NetworkHead):
            model = model.model(self._memory.rows(model.sources, (), self.classes))
        return causal.predict_last(model, self._memory, self.classes)


def smooth_last(
    item: TrainedBlend, scores: Mapping[int, Mapping[str, NDArray[np.float32]]]
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """The last frame's blended and smoothed scores [outputs], and its decision, from the heads' scores by frame.

    They are those of a video of these frames that ends there.
    """
    from blend.predict.scores import blend_video

    numbers = np.array([*scores], np.int32)
    numbers -= numbers[0] - 1
    heads = {head: (numbers, np.stack([of[head] for of in scores.values()])) for head in item.heads}
    blended = blend_video(item, heads, int(numbers[-1]))
    return blended.scores[-1], blended.decisions[-1]


class View:
    """The frames to look at, in a window or a browser; nothing is drawn where nobody looks."""

    def __init__(self, wanted: StreamOptions, note: str) -> None:
        """Raises InputError for a port that cannot be had, and where there can be no window."""
        from extract.media.mjpeg import MjpegServer

        if wanted.window:
            _need_windows()
        self.window, self.server = wanted.window, MjpegServer(wanted.serve) if wanted.serve is not None else None
        self.place = f", shown at {self.server.url}" if self.server else ""
        self._painter: LivePainter | None = None
        self._note, self._numbered = note, wanted.people is not None

    def show(self, frame: LiveFrame, rows: list[Row]) -> bool:
        """Show a frame with what was predicted. False: its window was closed, or `q` pressed there."""
        if not self.window and (self.server is None or not self.server.has_viewers):
            return True
        from blend.predict.annotate import LivePainter

        self._painter = self._painter or LivePainter(self._note, self._numbered)
        drawn = self._painter.frame(frame.number, frame.seconds, frame.pixels, rows)
        if self.server is not None:
            self.server.show(drawn)
        return not self.window or _show_window(drawn)

    def close(self) -> None:
        """End what is shown."""
        if self.server is not None:
            self.server.close()


TITLE = "affect-heads"


def _need_windows() -> None:
    """Raise InputError where OpenCV cannot open a window; with some builds trying would end the process."""
    import os

    import cv2

    lines = [line.split(":", 1)[1].strip() for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]
    if not lines or lines[0] == "NONE":
        raise InputError("--window: this OpenCV is built without windows (headless); --serve 8081 is for a browser")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InputError("--window: no display here; --serve 8081 is for a browser")


def _show_window(drawn: NDArray[np.uint8]) -> bool:
    """Show RGB pixels; False where the window was closed, or `q` or Escape pressed in it."""
    import cv2

    cv2.imshow(TITLE, np.ascontiguousarray(drawn[:, :, ::-1]))
    key = cv2.waitKey(1) & 0xFF
    return key not in (ord("q"), 27) and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
