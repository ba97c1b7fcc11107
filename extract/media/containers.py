"""What a video file's container tells of lost frames: bytes that are gone, bytes that no packet owns, gaps in time.

Sources: RIFF/AVI and OpenDML, Matroska (RFC 9559) and EBML (RFC 8794), ISO/IEC 14496-12 (MP4, MOV), ISO/IEC 13818-1 and
11172-1 (MPEG program streams).
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

TAIL = 1 << 18
"""Bytes at the end of a program stream in which its packets are followed."""
OVERHEAD = 64
"""Bytes between two packets that need no explanation: headers of blocks and clusters."""
EMPTY_CHUNK = 8
"""Bytes of a frame that an AVI's recorder dropped: a header and nothing in it."""
NEAR = 64
"""Frames between the place where bytes are lost and that where time is: decoders hold frames back."""
JUMP = 1.75
"""Usual intervals from which an interval lacks a frame; pulled-down film has some of 1.5."""
BEHIND = 3
"""Packets behind a place where an MPEG transport stream's count breaks, by which a whole picture begins at a joint."""
MILLISECOND_CLOCK = 0.0021
"""Seconds by which intervals of a constant rate differ where times are whole milliseconds."""


def cut_short(path: Path) -> str:
    """How many bytes the file lacks by its own statement, as text; empty where it is whole or does not say."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        start = handle.read(12)
        handle.seek(0)
        if start[:4] == b"RIFF":
            end = _chunks(handle, size)
        elif start[:4] == b"\x1a\x45\xdf\xa3":
            end = _segment(handle)
        elif start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _boxes(handle, size)
        elif start[:4] == b"\0\0\1\xba":
            end = _packs(handle, size)
        else:
            end = 0
    return f"the file has {size:,} bytes, it says that there are at least {end:,}" if end > size else ""


def _chunks(handle: BinaryIO, size: int) -> int:
    """End of the last RIFF chunk: large AVI files have several. 0 where a recorder did not fill in the sizes."""
    end = 0
    while end + 8 <= size:
        handle.seek(end)
        name, length = handle.read(4), int.from_bytes(handle.read(4), "little")
        if name != b"RIFF":
            break
        if not 0 < length < 0xFFFFFFFF:
            return 0
        end += 8 + length
    return end


def _segment(handle: BinaryIO) -> int:
    """End of a Matroska file's Segment, the element behind the EBML header; 0 for a live recording's unknown size."""
    handle.seek(4)
    length, _ = _vint(handle)
    handle.seek(length, os.SEEK_CUR)
    if handle.read(4) != b"\x18\x53\x80\x67":
        return 0
    length, unknown = _vint(handle)
    return 0 if unknown else handle.tell() + length


def _vint(handle: BinaryIO) -> tuple[int, bool]:
    """An EBML variable-size integer, and whether all its bits are set: unknown."""
    first = (handle.read(1) or b"\0")[0]
    more = 8 - first.bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(bytes([first]) + handle.read(more), "big") & ((1 << bits) - 1)
    return value, value == (1 << bits) - 1


def _boxes(handle: BinaryIO, size: int) -> int:
    """End of the last box on the top level of an MP4 or MOV file."""
    end = 0
    while end + 8 <= size:
        handle.seek(end)
        length, name = int.from_bytes(handle.read(4), "big"), handle.read(4)
        if length == 1:
            length = int.from_bytes(handle.read(8), "big")
        if length < 8 or not name.isalnum():  # 0: up to the end of the file, whatever that is
            break
        end += length
    return end


def _packs(handle: BinaryIO, size: int) -> int:
    """End of the last packet of an MPEG program stream, followed through its TAIL; 0 where it cannot be followed."""
    start = max(0, size - TAIL)
    handle.seek(start)
    data = handle.read()
    at = data.find(b"\0\0\1\xba")
    while 0 <= at < len(data):
        head = data[at : at + 14]
        if not b"\0\0\1".startswith(head[:3]):
            return 0  # padding, or damage
        if head[3:4] == b"\xb9":
            return start + at + 4
        if len(head) < 6:
            return start + at + 6
        length = int.from_bytes(head[4:6], "big")
        if head[3] == 0xBA:
            at += 14 + (head[-1] & 7 if len(head) == 14 else 0) if head[4] >> 6 == 1 else 12  # MPEG-2, MPEG-1
        elif head[3] > 0xBA and length:
            at += 6 + length
        else:
            return 0
    return start + at if at > 0 else 0


class Watch:
    """Follows a container while it is read: the bytes that its packets own, and the times of its frames."""

    def __init__(self) -> None:
        self._end: int | None = None
        self._packets = 0
        self._skips: list[tuple[int, int]] = []
        self._times = array("d")
        self._broken: tuple[int, int] | None = None
        """Where the count of a transport stream's packets breaks: our packets, and frames, up to there."""
        self._torn: list[int] = []
        """Frames at which such a place is no joint of two recordings."""

    def packet(self, packet: Any, is_picture: bool) -> None:
        """Take the next packet of any stream, in the order of the file; `is_picture`: of the pictures' stream."""
        if not packet.size:
            return
        self._packets += is_picture
        if is_picture:
            self._follow(packet)
        if packet.pos is not None and packet.pos >= 0:
            if self._end is not None and packet.pos - self._end > OVERHEAD:
                self._skips.append((packet.pos - self._end, len(self._times)))
            self._end = packet.pos + packet.size

    def _follow(self, packet: Any) -> None:
        """Tell a joint, behind which a recording begins with a whole picture, from a loss."""
        if packet.is_corrupt:
            self._broken = self._broken or (self._packets, len(self._times))
        elif self._broken and packet.is_keyframe:
            self._broken = None
        elif self._broken and self._packets - self._broken[0] >= BEHIND:
            self._torn.append(self._broken[1])
            self._broken = None

    def frame(self, seconds: float) -> None:
        """Take the time of the next frame."""
        self._times.append(seconds)

    def usual_interval(self) -> tuple[float, bool]:
        """Median seconds between frames (0 where there is no second one), and whether all intervals are about that."""
        intervals = np.diff(np.asarray(self._times))
        usual = float(np.median(intervals)) if len(intervals) else 0.0
        return usual, bool((np.abs(intervals - usual) <= MILLISECOND_CLOCK).all())

    def describe_loss(self, format: str, stated: int) -> str:
        """What is missing between the frames, as text, or empty. `format` is FFmpeg's name, `stated` its frame count.

        An AVI states how many frames there are; those that its recorder dropped take no bytes, lost ones do. MPEG
        program streams have a constant rate, so a gap in time is a loss. Matroska and WebM may pause: only a gap where
        bytes belong to no packet is one. MPEG transport streams count their packets; at a joint the count begins anew.
        """
        if torn := [*self._torn, *(self._broken or ())[1:]]:
            return f"lacks a piece {_place(torn[0], self._times)}"
        if format == "avi":
            missing = stated - self._packets
            skip, frame = max(self._skips, default=(0, 0))
            if missing > 0 and skip > OVERHEAD + EMPTY_CHUNK * missing:
                return _said(missing, frame, self._times)
            return ""
        intervals, usual = np.diff(np.asarray(self._times)), self.usual_interval()[0]
        gaps = np.flatnonzero(intervals > JUMP * usual) if usual > 0 else np.empty(0, int)
        if format != "mpeg":
            near = [gaps[np.abs(gaps - frame) <= NEAR] for _, frame in self._skips if "matroska" in format]
            gaps = np.unique([values[intervals[values].argmax()] for values in near if len(values)]).astype(int)
        if not len(gaps):
            return ""
        missing = int((np.round(intervals[gaps] / usual) - 1).sum())
        return _said(missing, int(gaps[0]) + 1, self._times)


def _said(missing: int, frame: int, times: Any) -> str:
    return f"lacks about {missing} frames {_place(frame, times)}"


def _place(frame: int, times: Any) -> str:
    seconds = times[min(max(frame, 1), len(times)) - 1] if len(times) else 0.0
    return f"behind frame {frame} ({seconds:.1f} s): the file is damaged there; later frames are numbered as they come"
