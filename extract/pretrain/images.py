"""Pictures of any folders, those that are held out, and random views of them.

What an epoch sees of a picture (crop, mirror, mask) follows from the seed, the epoch's number and the picture's row
alone, so neither batches nor a kill change it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from extract.config import PretrainSettings
from extract.learning.pictures import Pictures
from extract.media import frames
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

RATIO = math.log(4 / 3)
"""Of a crop's sides, at most, as a logarithm."""


def list_pictures(roots: list[Path], stride: int) -> Pictures:
    """Every stride-th picture of each folder in and below the roots, by sorted names.

    Raises InputError for a root that is no folder, and where there is no picture.
    """
    folders, video, names = [], [], []
    seen: set[str] = set()
    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; expected pictures, or folders of pictures, in it")
        for place, below, files in os.walk(root, followlinks=True):
            real = os.path.realpath(place)
            below[:] = [] if real in seen else sorted(name for name in below if name[0] != ".")
            there = sorted(name for name in files if frames.PICTURE_LIKE.fullmatch(name))[::stride]
            if there and real not in seen:
                video += [len(folders)] * len(there)
                folders.append(Path(place))
                names += there
            seen.add(real)
    if not names:
        raise InputError(f"{', '.join(map(str, roots))}: no picture (jpg, png, ...) in it, or in a folder below it")
    return Pictures(tuple(folders), np.array(video, np.int32), tuple(names))


def hold_out(pictures: Pictures, settings: PretrainSettings, seed: int, place: str) -> tuple[Pictures, Pictures]:
    """What is learnt from, and what is only reconstructed: whole folders, the two people of a video together.

    Raises InputError where there are too few.
    """
    if settings.held_out_by == "picture":
        groups, kind = np.arange(len(pictures)), "pictures"
    else:
        recordings = [str(folder.parent / frames.strip_side(folder.name)) for folder in pictures.folders]
        groups, kind = np.unique(recordings, return_inverse=True)[1][pictures.video], "folders"
    count = int(groups.max()) + 1
    if count < 2:
        advice = 'held_out_by = "picture" holds out single ones' if kind == "folders" else "give more"
        raise InputError(
            f"{place}: found {count} of {kind} with pictures, expected at least two, as some are held out; {advice}"
        )
    chosen = np.random.default_rng(seed).permutation(count)[: min(count - 1, math.ceil(count * settings.held_out))]
    held = np.isin(groups, chosen)
    return pictures.take(~held), pictures.take(held)


@dataclass(frozen=True)
class Views:
    """What is shown of N pictures."""

    transforms: NDArray[np.float32]
    """[N, 2, 3], of the coordinates -1 to 1 of a view to those of its picture."""
    noise: NDArray[np.float32]
    """[N, patches]: the patches of the smallest numbers are seen."""


def draw_views(
    rows: NDArray[np.int64], patches: int, seed: int, epoch: int, crop: float = 1.0, flip: bool = False
) -> Views:
    """Views of the pictures of these rows in an epoch: crops of `crop` of the area or more, their sides at most 4 to 3,
    mirrored or not; which patches are seen. By default whole pictures.
    """
    transforms, noise = np.zeros((len(rows), 2, 3), np.float32), np.empty((len(rows), patches), np.float32)
    for i, row in enumerate(rows.tolist()):
        rng = np.random.default_rng([seed, epoch, row])
        noise[i] = rng.random(patches)
        area, ratio = (rng.uniform(crop, 1), math.exp(rng.uniform(-RATIO, RATIO))) if crop < 1 else (1.0, 1.0)
        wide, high = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
        x, y = rng.uniform(wide - 1, 1 - wide), rng.uniform(high - 1, 1 - high)
        mirrored = flip and rng.random() < 0.5
        transforms[i] = [[-wide if mirrored else wide, 0, x], [0, high, y]]
    return Views(transforms, noise)


def show(pictures: torch.Tensor, views: Views) -> torch.Tensor:
    """The views [N, 3, side, side] of pictures of that shape, bicubic."""
    import torch
    from torch.nn import functional

    transforms = torch.from_numpy(views.transforms).to(pictures.device)
    grid = functional.affine_grid(transforms, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)
