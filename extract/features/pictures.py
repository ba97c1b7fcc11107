"""Face crops in memory -> what networks give of them, a frame's crops at once: as the feature store would have it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from extract.config import Config
from extract.engines.create import EngineCache
from extract.engines.graph import Outputs
from extract.faces.crops import QUALITY
from extract.features.step import NetworkStep
from extract.features.store import KINDS, VideoFeatures, check_values
from extract.media import images
from extract.networks import registry, weights

Features = dict[str, dict[str, NDArray[np.generic]]]
"""{network: {kind: [width]}}: of one crop, in the types of the feature store."""


class PictureNetworks:
    """The networks of a config, ready for pictures, which are compressed and read again as those on disk are."""

    def __init__(self, config: Config, engines: EngineCache) -> None:
        """Load them. Raises InputError for a network that is unknown, or whose weights cannot be had or run."""
        settings = config.features
        networks = [registry.find(name, config) for name in settings.networks]
        weights.fetch_missing(networks, settings.weights)
        self.classes = {network.name: network.classes or () for network in networks}
        """What each network's logits stand for, where that is known."""
        self.about = {n.name: NetworkStep(n, (), Path(), settings, "", False).describe() for n in networks}
        """What decides each network's features (`provenance.describe`)."""
        kind, precision = settings.engine, settings.precision
        self._engines = {n.name: engines.create(kind, weights.find(n), n, precision) for n in networks}

    def run(self, crops: Sequence[NDArray[np.uint8]], frame: int) -> list[Features]:
        """Features of a frame's crops, each BGR [size, size, 3]. Raises InputError for values that are not finite."""
        raw: list[dict[str, Outputs]] = [{} for _ in crops]
        for crop, outputs in zip(crops, raw, strict=True):
            buffer = BytesIO()
            Image.fromarray(np.ascontiguousarray(crop[:, :, ::-1])).save(buffer, format="jpeg", quality=QUALITY)
            picture = Image.open(buffer).convert("RGB")
            for name, engine in self._engines.items():
                pixels = images.fit(picture, engine.network.size, engine.network.colour)
                engine.submit(pixels, partial(outputs.__setitem__, name))
        for engine in self._engines.values():
            engine.flush()
        return [self._features(outputs, frame) for outputs in raw]

    def _features(self, raw: dict[str, Outputs], frame: int) -> Features:
        """A crop's outputs in the types of the store."""
        with np.errstate(over="ignore"):  # infinite then, and refused as such
            features: Features = {
                name: {kind: raw[name][kind].astype(dtype) for kind, dtype in KINDS.items() if kind in raw[name]}
                for name in self._engines
            }
        for name, arrays in features.items():
            of_frame = {kind: values[None] for kind, values in arrays.items()}
            check_values(VideoFeatures(np.array([frame], np.int32), **of_frame), name, "the stream")
        return features
