"""An ONNX network of the user's own that hears: a stretch of sound -> one vector, or a sequence of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.audio import engine as audio_engine
from extract.audio import logmel
from extract.audio import segments as audio_segments
from extract.config import AudioSettings, Features
from extract.engines.check import check_width
from extract.features.store import KINDS
from extract.media.sound import Block
from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash

Rows = dict[str, NDArray[Any]]
HOP_SECONDS, WINDOW_SECONDS = 0.010, 0.025


class AudioNetwork:
    """A Listener (extract.audio) for one section [audio.<name>]."""

    def __init__(self, name: str, own: AudioSettings, settings: Features) -> None:
        """Check and compile. Raises InputError for a file that is missing, another one or no such network."""
        self.rate, self._own = own.rate, own
        _check(name, own)
        if not own.path.is_file():
            raise InputError(f"{own.path}: no such file: correct audio.{name}.path in the config")
        sha256 = file_hash(own.path)
        if own.sha256 and sha256 != own.sha256:
            raise InputError(f"{own.path}: SHA-256 hash is {sha256}, expected {own.sha256} (audio.{name}.sha256)")
        wanted = {kind: output for kind in KINDS if (output := getattr(own, kind))}
        self._hop, self._window = round(HOP_SECONDS * own.rate), round(WINDOW_SECONDS * own.rate)
        self._engine = audio_engine.create(own.path, name, wanted, lambda stated: _shape(name, own, stated), settings)
        for kind, given in self._engine.outputs.items():
            check_width(f"{own.path}: output {wanted[kind]!r} (audio.{name}.{kind})", kind, given[-1], own.classes)
        decides = own.model_dump(mode="json", exclude={"path", "sha256", "embedding", "logits", "va", "classes"})
        self.about = {
            "network": name,
            "weights": sha256,
            "precision": settings.precision,
            "settings": json.dumps(decides),
            "outputs": json.dumps([wanted, own.classes]),
        }
        self.made_by = {"engine": self._engine.runs}
        count = self._engine.shape[self._engine.axis]
        self._length = count if own.takes == "waveform" else (count - 1) * self._hop + self._window
        self._sequence = any(len(shape) > 1 for shape in self._engine.outputs.values())

    def listen(self, blocks: Iterable[Block], times: NDArray[np.float64]) -> Rows:
        """Features of the frames at `times`, float by kind: that of the vector at a frame's time, or between two."""
        out = self.make_zeros(len(times))
        if self._sequence:
            segments = audio_segments.plan_overlaps(times, self.rate, self._length)
        else:
            segments = audio_segments.plan_single(times, self.rate, self._length, self._own.every)
        for segment, samples in audio_segments.cut_segments(blocks, segments, self._length):
            self._engine.submit(self._input(samples), self._writer(out, segment, times))
        self._engine.flush()
        return out

    def make_zeros(self, frames: int) -> Rows:
        """Zeros."""
        return {kind: np.zeros((frames, shape[-1]), KINDS[kind]) for kind, shape in self._engine.outputs.items()}

    def _writer(
        self, out: Rows, segment: audio_segments.Segment, times: NDArray[np.float64]
    ) -> Callable[[dict[str, NDArray[np.float32]]], None]:
        def write(result: dict[str, NDArray[np.float32]]) -> None:
            for kind, vectors in result.items():
                if vectors.ndim == 1:
                    out[kind][segment.rows] = vectors
                else:
                    place = times[segment.rows] * self.rate - segment.first
                    if self._own.takes == "logmel":  # of a window's middle
                        place = (place - (self._window - 1) / 2) / self._hop
                    out[kind][segment.rows] = interpolate(vectors, (place - self._engine.first) / self._engine.stride)

        return write

    def _input(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's input of a stretch."""
        if self._own.takes == "waveform":
            if self._own.normalise:
                samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
            return samples.reshape(self._engine.shape)
        mels = log_mels(samples, self._own, self._hop, self._window)
        return (mels if self._engine.axis < len(self._engine.shape) - 1 else mels.T).reshape(self._engine.shape)


def _check(name: str, own: AudioSettings) -> None:
    """Raise InputError where the facts contradict each other."""
    if not (own.embedding or own.logits or own.va):
        raise InputError(f"audio.{name}: name at least one output: embedding, logits or va")
    if own.takes == "logmel" and not own.low < own.high <= own.rate / 2:
        raise InputError(f"audio.{name}: low = {own.low:g} and high = {own.high:g}; expected low < high <= rate / 2")


def _shape(name: str, own: AudioSettings, stated: list[int | None]) -> tuple[list[int], int]:
    """The input's shape and which axis of it is time, given the file's (None: any): [1, samples] or [1, 1, samples] of
    waveforms, [1, T, bands], [1, 1, T, bands], or T last of log-mels. Raises InputError where file and config differ,
    or neither says how long a stretch is.
    """
    ranks = (2, 3) if own.takes == "waveform" else (3, 4)
    expected = f"{own.takes} of {own.window:g} s" if own.window else own.takes
    problem = InputError(
        f"{own.path}: its input is {['any' if size is None else size for size in stated]}, expected that of a "
        f"{expected}: correct audio.{name}"
    )
    if len(stated) not in ranks:
        raise problem
    rank = len(stated)
    axis = rank - 1
    if own.takes == "logmel" and (stated[-1] == own.bands or stated[-2] != own.bands):
        axis = rank - 2
    count = stated[axis]
    if own.window is not None:
        count = round(own.window * own.rate if own.takes == "waveform" else own.window / HOP_SECONDS)
    if not count:
        raise InputError(f"{own.path}: takes any length of sound: say with audio.{name}.window how many seconds")
    shape = [1] * rank
    shape[axis] = count
    if own.takes == "logmel":
        shape[2 * rank - 3 - axis] = own.bands
    if any(size is not None and size != wanted for size, wanted in zip(stated, shape, strict=True)):
        raise problem
    return shape, axis


def interpolate(vectors: NDArray[np.float32], place: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at places between the vectors' numbers, linearly; those beyond an end are the end's."""
    place = np.clip(place, 0, len(vectors) - 1)
    before = np.minimum(place.astype(np.int64), max(len(vectors) - 2, 0))
    after = np.minimum(before + 1, len(vectors) - 1)
    part = (place - before)[:, None].astype(np.float32)
    return np.asarray((1 - part) * vectors[before] + part * vectors[after], np.float32)


def log_mels(samples: NDArray[np.float32], settings: AudioSettings, hop: int, window: int) -> NDArray[np.float32]:
    """ln(mel + offset) [T, bands] as in VGGish: periodic Hann, the next power of two, triangles on the mel scale."""
    size = 1 << (window - 1).bit_length()
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop] * hann
    spectra = np.abs(np.fft.rfft(windows, size)).astype(np.float32) ** settings.power
    filters = logmel.mel_filters(settings.rate, size, settings.bands, settings.low, settings.high, on_mel=True)
    return np.asarray(np.log(np.einsum("tf,fb->tb", spectra, filters) + settings.offset), np.float32)
