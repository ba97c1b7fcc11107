"""OpenVINO's own choice of streams, threads and requests against others with the same bytes: is one faster for certain?

Only what gives the same bytes as OpenVINO's own choice may win, so no feature depends on a timing. The batch stays 1:
with another, a picture's features would depend on its neighbours.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from extract.config import Strict
from extract.engines.openvino_engine import OpenVinoEngine, Setting
from extract.networks.registry import Network
from extract.runtime.errors import InputError

GAIN, DEVIATIONS, LEAST = 1.03, 2.0, 4
"""A setting has to be so many times as fast, and in more rounds than luck would make it, by a test of signs; fewer
rounds than LEAST can never show it.
"""
PREPARATION = 30.0
"""Seconds in which engines may be compiled, before the last race."""
ROUND, PICTURES_OF_STREAM = 0.1, 5
"""Seconds of a round; its pictures are a multiple of so many a stream, so that no stream is idle at its end."""
Ratios = Mapping[Setting, Sequence[float]]
"""Setting -> how many times as fast as OpenVINO's own choice it was, round by round."""


class Calibration(Strict):
    """What was found: `setting` None where OpenVINO's own choice stands, else `gain` times as fast as that. `tried`:
    the rounds of each other one that had its turn, none where it cannot run here or gives other bytes.
    """

    own: Setting
    tried: dict[str, int]
    setting: Setting | None = None
    gain: float = 1.0

    def describe(self) -> str:
        """It in words."""
        if self.setting is None:
            rounds = "; ".join(f"{setting}: {count} rounds" for setting, count in self.tried.items())
            return f"OpenVINO's own choice stands ({self.own.describe()}): none is {GAIN - 1:.0%} faster of {rounds}"
        return f"{self.setting.describe()}: {self.gain:.2f} times as fast as OpenVINO's own {self.own.describe()}"


def measure(make: Callable[[Setting | None], OpenVinoEngine], budget: float) -> Calibration:
    """Let each setting race against OpenVINO's own choice for its part of half the `budget`, in seconds of racing only;
    whoever wins has to win once more, in the other half. At most two engines are in memory. Raises InputError where
    no setting could be tried, as the network takes too long to compile.
    """
    began, raced = time.perf_counter(), 0.0
    own = make(None)
    pictures = draw_pictures(own.network)
    expected, compiling = collect_bytes(own, pictures), time.perf_counter() - began

    def race(setting: Setting, seconds: float) -> list[float]:
        """Ratios; none where it cannot be compiled as it is, and where it gives other bytes."""
        nonlocal raced
        ratios = list[float]()
        try:
            rival = make(setting)
        except InputError:
            return ratios
        same, start = rival.setting == setting and collect_bytes(rival, pictures) == expected, time.perf_counter()
        while same and (len(ratios) < LEAST or time.perf_counter() - start < seconds):
            pair = (own, rival) if len(ratios) % 2 else (rival, own)
            rates = {engine: measure_rate(engine, pictures) for engine in pair}
            ratios.append(rates[rival] / rates[own])
        raced += time.perf_counter() - start
        rival.close()
        return ratios

    settings, ratios = list_settings(own.setting), dict[Setting, list[float]]()
    for number, setting in enumerate(settings):
        left, prepared = budget / 2 - raced, time.perf_counter() - began - raced
        if left > 0 and prepared + compiling < PREPARATION:
            ratios[setting] = race(setting, left / (len(settings) - number))
    if not ratios:
        raise InputError(f"no other setting was tried: {compiling:.0f} seconds to compile one are too many")
    found = Calibration(own=own.setting, tried={setting.describe(): len(values) for setting, values in ratios.items()})
    if (first := choose(ratios)) is not None:
        again = race(first, budget / 2)
        if choose({first: again}) is not None:
            return found.model_copy(update={"setting": first, "gain": round(statistics.median(again), 3)})
    return found


def choose(ratios: Ratios) -> Setting | None:
    """The setting with the largest median ratio; None, OpenVINO's own choice, where that is below GAIN or luck may be
    behind it.
    """
    medians = {setting: statistics.median(values) for setting, values in ratios.items() if values}
    best = max(medians, key=medians.__getitem__, default=None)
    if best is None or medians[best] < GAIN:
        return None
    lead = sum((ratio > 1) - (ratio < 1) for ratio in ratios[best])
    return best if lead >= DEVIATIONS * math.sqrt(len(ratios[best])) else None


def list_settings(default: Setting) -> list[Setting]:
    """What may be faster than OpenVINO's own choice: one, two or four threads a stream, half of the threads (where two
    of them share a core), more pictures that wait.
    """
    threads = default.threads
    pairs = [(max(1, threads // share), threads) for share in (1, 2, 4)] + [(max(1, threads // 2),) * 2]
    settings = [Setting(streams=streams, threads=count, requests=2 * streams) for streams, count in pairs]
    settings.append(default.model_copy(update={"requests": 4 * default.streams}))
    return [setting for setting in dict.fromkeys(settings) if setting != default]


def draw_pictures(network: Network) -> list[NDArray[np.uint8]]:
    """Noise and gradients, always the same."""
    shape = network.size, network.size, len(network.mean)
    noise = np.random.default_rng(0).integers(0, 256, (12, *shape), np.uint8)
    ramp = np.linspace(0, 255, network.size).astype(np.uint8)
    ramps = (ramp[:, None, None], ramp[None, :, None], ramp[::-1, None, None] // 4, 255 - ramp[None, :, None] // 8)
    return [*noise, *(np.ascontiguousarray(np.broadcast_to(values, shape)) for values in ramps)]


def collect_bytes(engine: OpenVinoEngine, pictures: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """The bytes of each picture's outputs, several pictures at a time."""
    results: list[list[bytes]] = [[] for _ in pictures]
    for picture, row in zip(pictures, results, strict=True):
        engine.submit(picture, lambda outputs, row=row: row.extend(outputs[kind].tobytes() for kind in sorted(outputs)))  # type: ignore[misc]
    engine.flush()
    return [b"".join(row) for row in results]


def measure_rate(engine: OpenVinoEngine, pictures: Sequence[NDArray[np.uint8]]) -> float:
    """Pictures a second in a round."""
    turns, done, lot = itertools.cycle(pictures), 0, PICTURES_OF_STREAM * engine.setting.streams
    began = time.perf_counter()
    while not done or time.perf_counter() - began < ROUND:
        for picture in itertools.islice(turns, lot):
            engine.submit(picture, lambda _: None)
        done += lot
    engine.flush()
    return done / (time.perf_counter() - began)
