"""Videos that look like one person's, by their embeddings: looked for where nobody says who is in which video.

A video's mean embedding tells who is in it, but also what is felt and how it is lit. So the means are centred by the
corpus's (embeddings share a large direction), and directions in which frames within a video differ count for less:
within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006), a video being a class. What is left is
compared by the cosine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.features import store
from extract.runtime import inputs
from extract.runtime.errors import InputError
from heads.data import splits

THRESHOLD = 0.75
"""Of the cosine; set on faces that the demo draws, with each of its two networks. Of 13,944 pairs of videos of
different people (84 in two videos each, playing different expressions) none was above it (the highest 0.73), nor any
of the demo's own 21 videos of train and validation (0.55). Every second frame of a video and the others are always
above it (0.98 and more), the first half of a video and the second in 7 of 21; one person in two videos with different
expressions in 4 %: networks that have learnt from drawn faces hardly know people. On photographs, with a network that
has learnt from real faces (nothing was set on them): two halves of an album of 8 pictures or more in 22 of 34, of 14
or more in 19 of 23, and halves of different albums never (0.41). So what is found is hardly ever chance, but where
nothing is found people may still be in several videos.
"""
FRAMES = 64
"""Of each video, evenly spaced."""
SHRINKAGE = 0.01
"""Part of the mean variance within videos that is added in every direction."""
TOGETHER = 32
"""Videos whose frames are multiplied at once: a product of few rows is as dear as one of many."""
FEWEST = 4
"""Videos; of fewer the centre is mostly themselves."""


@dataclass(frozen=True)
class Pair:
    """A validation video and another that looks like the same person, which is in `part`: "val" or "train"."""

    video: str
    other: str
    part: str
    cosine: float


@dataclass(frozen=True)
class Resemblance:
    """What was found among so many videos by a network's embeddings; pairs from the most alike on."""

    network: str
    videos: int
    pairs: tuple[Pair, ...]


def find(work: Path, networks: Iterable[str], val: Collection[str], train: Collection[str]) -> Resemblance | None:
    """Validation videos that look like the person of another or of one of train, by the first of the networks that has
    an embedding on disk; None where none has. Sides of one recording are not compared: they are kept together anyway.

    TOGETHER videos are in memory at a time, of each FRAMES frames. 594 videos of 1,280 columns take five seconds.
    """
    videos = sorted({*val, *train})
    for network in networks:
        looked = _looked(work, network, videos)
        if looked is not None:
            names, means, within = looked
            return Resemblance(network, len(names), pairs(names, cosines(means, within), set(val)))
    return None


def pairs(names: Sequence[str], cosine: NDArray[np.float64], val: Collection[str]) -> tuple[Pair, ...]:
    """The pairs above THRESHOLD with a video of `val`, from cosines [V, V] of these videos: the most alike first."""
    of, held = splits.recordings(names), np.array([name in val for name in names], bool)
    above = np.triu(cosine > THRESHOLD, 1) & (of[:, None] != of) & (held[:, None] | held)
    results = []
    for a, b in np.argwhere(above).tolist():
        video, other = (names[a], names[b]) if held[a] else (names[b], names[a])
        results.append(Pair(video, other, "val" if other in val else "train", float(cosine[a, b])))
    return tuple(sorted(results, key=lambda pair: (-pair.cosine, pair.video, pair.other)))


def cosines(means: NDArray[np.float64], within: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines [V, V] of mean embeddings [V, D], centred and weighted by the inverse of the covariance within videos
    [D, D]. 0 where there are fewer than FEWEST videos.
    """
    if len(means) < FEWEST:
        return np.zeros((len(means), len(means)))
    variances, directions = np.linalg.eigh(within)
    spread = np.sqrt(np.maximum(variances, 0) + SHRINKAGE * max(float(variances.mean()), 0))
    plain = (means - means.mean(0)) @ directions
    scaled = plain / np.where(spread > 0, spread, 1.0)
    return _unit(scaled) @ _unit(scaled).T


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _looked(
    work: Path, network: str, videos: Iterable[str]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]] | None:
    """The videos with an embedding, their means [V, D], and the covariance within videos [D, D]; None without any."""
    names: list[str] = []
    means: list[NDArray[np.float64]] = []
    within, degrees = np.zeros(()), 0
    apart: list[NDArray[np.float64]] = []
    for video in videos:
        values = _sampled(store.path(work, network, video))
        if values is None or not np.isfinite(values).all() or (means and values.shape[1] != len(means[0])):
            continue
        names.append(video)
        means.append(values.mean(0))
        apart.append(values - means[-1])
        degrees += len(values) - 1
        if len(apart) == TOGETHER:
            within, apart = within + _scatter(apart), []
    if apart:
        within = within + _scatter(apart)
    return (names, np.stack(means), within / max(degrees, 1)) if names else None


def _scatter(apart: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Sum of the outer products [D, D] of some rows, [n, D] each."""
    rows = np.concatenate(apart)
    return rows.T @ rows


def _sampled(path: Path) -> NDArray[np.float64] | None:
    """At most FRAMES embeddings of a video, evenly spaced, [n, D]; None without a file, an embedding or a frame."""
    from safetensors import SafetensorError, safe_open

    if inputs.problem(path):
        return None
    try:
        with safe_open(path, framework="numpy") as handle:
            if "embedding" not in handle.keys():  # noqa: SIM118
                return None
            rows = handle.get_slice("embedding")
            count = rows.get_shape()[0]
            at = np.unique(np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int))
            return np.concatenate([rows[i : i + 1] for i in at.tolist()]).astype(np.float64) if count else None
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: damaged feature file ({error}); delete it and run python -m extract.run again"
        ) from error
