"""Video file -> upright frames, one at a time: through PyAV, through OpenCV where PyAV cannot.

A frame's number is its place in what the decoder gives, from 1: the count that OpenCV-based tools and the official
annotations use. So reading ends at an undecodable place, as theirs does, and goes on where a damaged container lost
frames without the decoder's noticing. Both are said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.media import containers, frames, images, streams
from extract.runtime import inputs, limits
from extract.runtime.errors import InputError, warn
from extract.runtime.file_names import compose

EXTENSIONS = (
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg", ".mpe", ".vob", ".ts", ".mts",
    ".m2ts", ".3gp", ".3g2", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".mxf", ".dv", ".rm", ".rmvb", ".gif",
)  # fmt: skip
MAX_NAMES = 10
"""Left-out files of which the warning gives the names."""
SHORTFALL = {"stream": 0.5, "file": 2.0}
"""Seconds that a video may end before its stated length; a file's length counts its sound, too, so it says less."""
SHORTFALL_OF_CONSTANT_RATE = 1.5
"""Frames that one of a constant rate may end before its stream's stated length, in these formats; MP4's has edits."""
TIGHT = ("avi", "matroska,webm")
STATE_END = ("matroska,webm", "asf")
"""Formats that state not a length but the time of the end; some writers of Matroska do the former, which is no more."""
OPENCV_ESTIMATE = 0.98
"""OpenCV's count of frames is a guess for some formats."""


class BrokenVideo(Exception):
    """The file is no video, breaks off or lacks frames: the text says which. Frames that were given are good."""


def list_files(folder: Path) -> dict[str, Path]:
    """Video name (the file's name without its extension) -> file, sorted by name; one warning names what is left out.
    Raises InputError where the folder is missing or holds no video, or two files would be one video.
    """
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name[0] != "."]
        left_out = [f"{entry.name}/" for entry in entries if entry.is_dir()]
        # links to nothing, too: they will be said to be broken
        files = sorted(Path(entry.path) for entry in entries if not entry.is_dir())
    except OSError as error:
        raise InputError(
            f"{folder}: videos folder cannot be read ({error.strerror}); expected a folder of video files"
        ) from None
    results: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() not in EXTENSIONS:
            left_out.append(file.name)
            continue
        if (name := compose(file.stem)) in results:
            raise InputError(
                f"{file}: video {name!r} is also {results[name].name}; a video's name is its file's name "
                f"without the extension: rename one of them"
            )
        results[name] = file
    if not results:
        raise InputError(f"{folder}: no videos in it; expected files ending in {', '.join(EXTENSIONS)}")
    if left_out:
        more = f" and {len(left_out) - MAX_NAMES} more" if len(left_out) > MAX_NAMES else ""
        warn(
            f"{folder}: left out, as no video by its name or a folder: {', '.join(sorted(left_out)[:MAX_NAMES])}{more}"
        )
    return dict(sorted(results.items()))


def read_frame_count(path: Path) -> int:
    """How many frames the file says it has; 0 where it does not say or cannot be opened. For progress only."""
    import av

    try:
        with streams.open_container(path) as container:
            if (stream := streams.film(container)) is None:
                return 0
            seconds, *_ = _stated_seconds(container, stream)
            return int(stream.frames or (seconds or 0) * float(stream.average_rate or 0))
    except (av.FFmpegError, OSError, ValueError):
        return 0


def read(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield every frame as BGR uint8 [height, width, 3], in order, rotated and mirrored as the file asks for; a picture
    is a video of one. Raises BrokenVideo, after the good frames, for a file that is no video or breaks off.
    """
    import av

    if why := inputs.problem(path, "video"):
        raise BrokenVideo(why)
    if path.suffix.lower() not in EXTENSIONS and frames.PICTURE_LIKE.fullmatch(path.name):
        try:
            yield images.bgr(path)
        except images.UnreadablePicture as error:
            raise BrokenVideo(str(error)) from None
        return
    try:
        container = streams.open_container(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        yield from _read_with_opencv(path, reason=str(error))
        return
    with container:
        if (stream := streams.film(container)) is None:
            raise BrokenVideo("no picture stream in it")
        if (codec := stream.codec_context) is not None:
            if codec.width * codec.height > limits.PIXELS:
                raise BrokenVideo(f"frames of {codec.width}x{codec.height} pixels, expected {limits.PIXELS:,} at most")
            yield from _read_stream(path, container, stream)
            return
    yield from _read_with_opencv(path, reason="there is no decoder for its codec here: convert it, as to H.264")


def _read_stream(path: Path, container: Any, stream: Any) -> Iterator[NDArray[np.uint8]]:
    """Decode one stream of an open PyAV container; see `read`."""
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or 25)
    count, seconds = 0, float((stream.start_time or 0) * stream.time_base) - 1 / rate
    decoded = _Decoder(container, stream)
    for pixels, time in decoded:
        count += 1
        seconds = seconds + 1 / rate if time is None else time
        decoded.watch.frame(seconds)
        yield pixels
    if not count:
        raise BrokenVideo(f"no frame can be decoded{': ' + decoded.reason if decoded.reason else ''}")
    if not decoded.reason and (lost := decoded.watch.describe_loss(container.format.name, stream.frames)):
        raise BrokenVideo(lost)
    end = seconds + 1 / rate
    if reason := decoded.reason or _short(path, container, stream, decoded.watch, end):
        length = end - float((stream.start_time or 0) * stream.time_base)
        raise BrokenVideo(f"breaks off after frame {count} ({length:.1f} s): {reason}")


def _short(path: Path, container: Any, stream: Any, watch: containers.Watch, end: float) -> str:
    """Why a video whose last frame ends at the time `end` is not whole, or empty."""
    stated, source, start = _stated_seconds(container, stream)
    if stated is not None and container.format.name not in streams.CONCATENATED_FORMATS:  # theirs is FFmpeg's guess
        seconds = end - start
        usual, constant = watch.usual_interval()
        tight = constant and source == "stream" and container.format.name in TIGHT
        if seconds < stated - (SHORTFALL_OF_CONSTANT_RATE * usual if tight else SHORTFALL[source]):
            return f"its header states {stated:.1f} s"
    try:
        return containers.cut_short(path)
    except OSError as error:  # gone meanwhile
        return f"it cannot be read any more ({error.strerror})"


class _Decoder:
    """Iterates over (pixels, seconds) of the frames before the first damage; `reason` says what that was, if any."""

    def __init__(self, container: Any, stream: Any) -> None:
        self.packets, self.codec, self.index = container.demux(), stream.codec_context, stream.index
        self.watch = containers.Watch()
        self.converter = FrameConverter()
        self.reason = ""

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], float | None]]:
        import av

        began, held = False, []
        while not (began and self.reason):
            try:
                if (packet := next(self.packets, None)) is None:
                    break
                # a flushing packet's own stream_index is 0 whichever stream it flushes
                self.watch.packet(packet, ours := packet.stream.index == self.index)
                if not ours:
                    continue
                if packet.is_corrupt:  # the last one of a file that breaks off, or what is before a joint or a loss
                    held.append(packet)
                    continue
                if held and not packet.size:
                    self.reason = "the data end in the middle of a frame"
                    break
                ready, held = [*held, packet], []
                for frame in (frame for each in ready for frame in _decoded(each)):
                    began, self.reason = True, ""
                    yield self._shown(frame)
            except (av.FFmpegError, OSError) as error:
                # streams cut out of longer ones begin with undecodable frames: every player skips those
                self.reason = f"the next frame cannot be decoded ({error.strerror or error})"
        try:
            for frame in self.codec.decode(None):  # good frames that the decoder still holds back
                yield self._shown(frame)
        except (av.FFmpegError, OSError):
            return

    def _shown(self, frame: Any) -> tuple[NDArray[np.uint8], float | None]:
        """Pixels and time; frames that the decoder held back may have lost theirs."""
        return self.converter.to_bgr(frame), frame.time if frame.time_base else None


def _decoded(packet: Any) -> list[Any]:
    """The packet's frames. What is known to lack something may have none: other readers go on behind it, too."""
    import av

    try:
        return list(packet.decode())
    except av.FFmpegError:
        if packet.is_corrupt:
            return []
        raise


class FrameConverter:
    """Gives the pixels of a video's frames upright.

    A frame whose side data were looked at is in a circle with them, and not free before garbage is collected: so they
    are looked at once, and where the rotation is another one.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._matrix: NDArray[np.int32] | None = None

    def to_bgr(self, frame: Any) -> NDArray[np.uint8]:
        """BGR uint8 [height, width, 3], turned and mirrored as the frame asks for."""
        if frame.rotation != self._rotation:
            self._rotation, self._matrix = frame.rotation, _display_matrix(frame)
        return upright(frame.to_ndarray(format="bgr24"), self._matrix)


def _display_matrix(frame: Any) -> NDArray[np.int32] | None:
    try:
        side_data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # some of a kind that PyAV does not know yet
        side_data = None
    return None if side_data is None else np.frombuffer(bytes(side_data), np.int32).reshape(3, 3).copy()


def _stated_seconds(container: Any, stream: Any) -> tuple[float | None, str, float]:
    """The length that the header states, whether for the "stream" or for the whole "file", and from what time on."""
    start = float((stream.start_time or 0) * stream.time_base)
    stated, source = float((stream.duration or 0) * stream.time_base), "stream"
    if not stated:
        try:
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")  # Matroska and WebM
            stated = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except (KeyError, ValueError):
            stated, start = (container.duration or 0) / 1e6, (container.start_time or 0) / 1e6
            source = "stream" if len(container.streams) == 1 else "file"
    return stated or None, source, 0.0 if container.format.name in STATE_END else start


def upright(pixels: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Turn and mirror pixels [H, W, 3] as a display matrix asks for (quarter turns; other angles to the nearest): x' =
    a x + c y, y' = b x + d y with rows [a, b, _], [c, d, _] (ISO/IEC 14496-12, 8.3.2).
    """
    if matrix is None:
        return pixels
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    along_x, along_y = a, d
    if abs(int(b)) > abs(int(a)):
        pixels, along_x, along_y = pixels.swapaxes(0, 1), c, b
    if along_x < 0:
        pixels = pixels[:, ::-1]
    if along_y < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _read_with_opencv(path: Path, reason: str) -> Iterator[NDArray[np.uint8]]:
    """Frames by OpenCV, which knows some formats that PyAV does not; raises BrokenVideo(reason) if it does not."""
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong stands in our own message
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture()
    try:
        if not path.stat().st_size or not capture.open(streams.location(path)):
            raise BrokenVideo(
                "the file is empty" if not path.stat().st_size else f"no video that can be read: {reason}"
            )
        count = 0
        while (got := capture.read())[0]:
            count += 1
            yield np.asarray(got[1], np.uint8)
        if not count:
            raise BrokenVideo(f"no frame can be decoded: {reason}")
        if count < OPENCV_ESTIMATE * (stated := int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) - 2:
            raise BrokenVideo(f"breaks off after frame {count}: its header states {stated} frames")
    except OSError as error:
        raise BrokenVideo(f"cannot be read ({error.strerror})") from None
    finally:
        capture.release()
        cv2.utils.logging.setLogLevel(level)
