"""A video while it is being made: a camera, an RTSP or HTTP address, a pipe. PyAV reads all three alike.

A thread reads and decodes, so that a slow user of the frames does not hold up the camera. Of a live source only the
newest frames wait; older ones are dropped and counted. A finished video, as most pipes and files on the web are, waits
for its user: none of it is dropped.
"""

from __future__ import annotations

import os
import re
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from extract.media import streams, video
from extract.runtime import limits
from extract.runtime.errors import InputError, did_you_mean, hide_password

PIPE = "-"
URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
PROTOCOLS = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")
"""Of addresses that can be read."""
QUEUE_LENGTH = 2
"""Frames that wait at most: one that is taken next, and one behind it."""
SECONDS = 10.0
"""An address that gives nothing for so long has broken off, as FFmpeg finds."""
SILENCE, PIPE_SILENCE = 15.0, 60.0
"""Seconds that anybody waits for a frame, at most, whatever hangs; and for one of a pipe, whose program may pause."""
PROBE_MICROSECONDS = 500_000
"""Microseconds of a stream that FFmpeg looks through before the first frame; its own five seconds would be delay."""
POLL = 0.2
"""Seconds after which a thread that waits looks whether it should end."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame and when it came."""

    number: int
    """From 1; dropped frames count."""
    seconds: float
    """By the stream's own clock, from its first frame on; never falling."""
    arrival: float
    """`time.monotonic()` when it had been decoded, before it waited for its user; what waits undecoded, as in a pipe
    whose user is slower than its sender, is older than that tells."""
    drops: int
    """How many of the frames before were dropped."""
    pixels: NDArray[np.uint8]
    """Upright, BGR [height, width, 3]."""


def is_stream(source: str) -> bool:
    """Whether a word of a command line is a pipe (`-`) or an address, and no path."""
    return source == PIPE or URL.match(source) is not None


class LiveVideo:
    """The frames of a camera (a number or a device), an address or a pipe; to be used in a `with` block.

    >>> with LiveVideo("rtsp://10.0.0.5/live") as frames:
    ...     for frame in frames:
    ...         print(frame.number, frame.pixels.shape)
    """

    def __init__(self, source: str, camera: bool = False, drop: bool | None = None, pipe: int = 0) -> None:
        """`drop`: whether older frames go where their user is slower; by default not those of a pipe, nor of a file on
        the web. `pipe` is the file number that `-` stands for. Raises InputError for an address of an unknown kind, a
        camera that is not there, and a terminal in the place of a pipe.
        """
        self.source, self.camera, self.drop, self.pipe = source, camera, drop, pipe
        self.name = f"camera {source}" if camera else hide_password(source)
        self._check()
        self._frames: deque[tuple[int, float, float, Any]] = deque()
        self._changed = threading.Condition()
        self._stopped = self._ended = self._wanted = False
        self._failure: BaseException | None = None
        self._dropped = self._count = self._came = 0
        self.start_event = threading.Event()
        """Set once the source is open, or has failed."""
        self._thread = threading.Thread(target=self._run, name="live video", daemon=True)

    def _check(self) -> None:
        """Refuse at once what cannot be read."""
        if self.camera:
            _device(self.source)
        elif self.source == PIPE:
            if os.isatty(self.pipe):
                raise InputError(
                    "-: expected a video from a pipe, found the terminal; pipe one in, as in: ffmpeg ... -f mpegts - | "
                    "affect-heads predict -"
                )
        else:
            try:
                scheme = urlsplit(self.source).scheme.lower()
            except ValueError as error:  # of `[`
                raise InputError(f"{self.name}: is no address ({error}); expected one as rtsp://host/path") from None
            if scheme not in PROTOCOLS:
                hint = did_you_mean(scheme, PROTOCOLS)
                raise InputError(f"{self.name}: cannot be read; addresses begin with {', '.join(PROTOCOLS)}{hint}")

    def __enter__(self) -> LiveVideo:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(2.0)  # one that hangs on the network ends with the process

    def stop(self) -> None:
        """Let the frames end here; can be called from a signal handler."""
        self._stopped = True

    def failure(self) -> BaseException | None:
        """Why there are no more frames; None while some wait or may come, and at a regular end."""
        return None if self._frames else self._failure

    def __iter__(self) -> Iterator[LiveFrame]:
        """The frames, waiting for each. Raises InputError, behind the last, where the source broke off or is silent."""
        self._wanted, converter = True, video.FrameConverter()
        since = time.monotonic()
        while not self._stopped:
            with self._changed:
                if not self._frames:
                    if self._ended:
                        break
                    self._changed.wait(POLL)
                    self._refuse_silence(time.monotonic() - since)
                    continue
                number, seconds, arrived, frame = self._frames.popleft()
                dropped = self._dropped
                self._changed.notify_all()
            yield LiveFrame(number, seconds, arrived, dropped, converter.to_bgr(frame))
            since = time.monotonic()
        if self._failure is not None and not self._stopped:
            raise self._failure

    def _refuse_silence(self, seconds: float) -> None:
        """Raise InputError where no frame has come for too long."""
        is_pipe = self.source == PIPE and not self.camera
        if seconds < (longest := PIPE_SILENCE if is_pipe else SILENCE) or self._frames or self._ended:
            return
        why = f"no frame came for {longest:g} s"
        if self._count:
            raise InputError(f"{self.name}: broke off after frame {self._count}: {why}; what was written stays")
        raise InputError(f"-: {why}; see what the program before it says") if is_pipe else self._no_frame(why)

    def _run(self) -> None:
        """What the thread does."""
        try:
            self._read()
        except BaseException as error:  # told where the frames are used
            self._failure = error
        finally:
            self.start_event.set()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read(self) -> None:
        import av

        pipe = _Pipe(self) if self.source == PIPE and not self.camera else None
        began = time.monotonic()
        try:
            container = self._open(pipe)
        except (av.FFmpegError, OSError, ValueError) as error:
            late = pipe is None and time.monotonic() - began >= SECONDS  # FFmpeg was made to give up
            why = _silence() if late else getattr(error, "strerror", None) or type(error).__name__
            raise self._refusal(why, pipe) from None
        with container:
            if (stream := streams.film(container)) is None or stream.codec_context is None:
                raise self._refusal("no picture stream in it that can be decoded", pipe)
            codec = stream.codec_context
            if codec.width * codec.height > limits.PIXELS:
                raise InputError(
                    f"{self.name}: frames of {codec.width}x{codec.height} pixels, expected {limits.PIXELS:,} at most"
                )
            if self.drop is None:
                finished = urlsplit(self.source).scheme.lower() in ("http", "https") and container.duration is not None
                self.drop = self.camera or (pipe is None and not finished)
            stream.thread_type = "SLICE"  # threads that each take a frame would all hold one back
            self.start_event.set()
            self._decode(container, stream, pipe)

    def _open(self, pipe: _Pipe | None) -> Any:
        import av

        if self.camera:
            return av.open(_device(self.source), format="v4l2", timeout=SECONDS)
        options = {"analyzeduration": str(PROBE_MICROSECONDS)}
        if pipe is None:
            options |= {"rtsp_transport": "tcp"} if self.source.lower().startswith("rtsp") else {}
            return av.open(self.source, options=options, timeout=SECONDS)
        if _is_file(self.pipe):  # `< clip.mp4`: its index may lie at its end
            return av.open(open(self.pipe, "rb", buffering=0, closefd=False), options=options)
        return av.open(pipe, options=options)

    def _refusal(self, why: str, pipe: _Pipe | None) -> InputError:
        """What to say of a source that gives no frame."""
        if pipe is None:
            return self._no_frame(why)
        if not pipe.count and not _is_file(self.pipe):
            return InputError("-: the pipe is empty, expected a video; see what the program before it says")
        return InputError(
            f"-: no video that can be read from a pipe ({why}); expected one that can be read from its beginning, as "
            f"MPEG-TS, Matroska, or MP4 with its index first (-movflags +faststart); or give the file's path"
        )

    def _no_frame(self, why: str) -> InputError:
        what = "the camera gives no pictures" if self.camera else "no stream there"
        return InputError(f"{self.name}: {what} ({why}); look whether another program shows it")

    def _decode(self, container: Any, stream: Any, pipe: _Pipe | None) -> None:
        """Decode to the end. Damage that is followed by good frames is passed over, as players do."""
        import av

        trouble, last, seconds = "", None, 0.0
        interval = 1 / float(stream.average_rate or 25)
        began = time.monotonic()
        packets = container.demux(stream)
        while not self._stopped:
            try:
                if (packet := next(packets, None)) is None:
                    break
                decoded = packet.decode()
            except av.BlockingIOError:
                time.sleep(0.005)  # of cameras: the next picture is not there yet
                continue
            except av.InvalidDataError as error:
                trouble = f"the next frame cannot be decoded ({error.strerror})"
                continue
            except (av.FFmpegError, OSError) as error:
                trouble = _silence() if isinstance(error, av.ExitError) else str(error.strerror)
                break
            if packet.size:
                torn = packet.is_corrupt or any(frame.is_corrupt for frame in decoded)
                trouble = "the data end in the middle of a frame" if torn else ""
            for frame in decoded:
                self._came += 1
                if self.drop and not self._wanted:
                    continue  # nobody looks yet: the stream begins for its user with the first look
                at = frame.time if frame.time is not None else time.monotonic() - began
                if last is not None:  # where the stream's clock begins anew, it goes on here
                    seconds += at - last if at >= last else interval
                last = at
                self._give(frame, seconds)
        if not self._stopped:
            self._end(container, stream, trouble, seconds, pipe)

    def _end(self, container: Any, stream: Any, trouble: str, seconds: float, pipe: _Pipe | None) -> None:
        """Raise InputError unless the stream has come to its end."""
        stated, source, start = video._stated_seconds(container, stream)
        end = seconds + 1 / float(stream.average_rate or 25)
        if not trouble and stated is not None and end + start < stated - video.SHORTFALL[source]:
            trouble = f"its header states {stated:.1f} s"
        if not trouble and pipe is None and self.drop and not stated:
            trouble = "it gives no more"
        if not self._came:
            raise self._refusal(trouble or "no frame in it", pipe)
        if trouble:
            raise InputError(
                f"{self.name}: broke off after frame {self._count} ({end:.1f} s): {trouble}; what was written stays"
            )

    def _give(self, frame: Any, seconds: float) -> None:
        """Let a frame wait for its user; or the user's place in a finished video for the user."""
        arrived = time.monotonic()
        with self._changed:
            while not self.drop and len(self._frames) >= QUEUE_LENGTH and not self._stopped:
                self._changed.wait(POLL)
            if len(self._frames) >= QUEUE_LENGTH:
                self._frames.popleft()
                self._dropped += 1
            self._count += 1
            self._frames.append((self._count, seconds, arrived, frame))
            self._changed.notify_all()


class _Pipe:
    """Standard input as PyAV reads it: what is there already, and not waiting where nobody wants it any more."""

    def __init__(self, owner: LiveVideo) -> None:
        self.owner, self.count = owner, 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        while not self.owner._stopped:
            if select.select([self.owner.pipe], [], [], POLL)[0]:
                data = os.read(self.owner.pipe, size)
                self.count += len(data)
                return data
        return b""


def _silence() -> str:
    return f"nothing came for {SECONDS:g} s"


def _is_file(number: int) -> bool:
    return stat.S_ISREG(os.fstat(number).st_mode)


def _device(camera: str) -> str:
    """The device of a camera. Raises InputError where there is none."""
    if sys.platform != "linux":
        raise InputError(
            f"--camera {camera}: cameras are read on Linux only; elsewhere pipe it in, as in: ffmpeg -f avfoundation "
            f"-i 0 -f mpegts - | affect-heads predict -"
        )
    path = Path(f"/dev/video{camera}" if camera.isdecimal() else camera)
    if not path.exists():
        there = ", ".join(str(found) for found in sorted(Path("/dev").glob("video*"))) or "none"
        raise InputError(f"--camera {camera}: no such camera ({path}); cameras here: {there}")
    return str(path)
