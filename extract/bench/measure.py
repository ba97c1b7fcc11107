"""What `python -m extract.bench` measures: our extraction beside the published ways, on the same pictures, in one run.

(a) reference: torch eager, batches of 64, autograd graph kept, PIL in the same thread, a growing array by concatenation
    (the authors' notebooks); (b) one picture at a time through ONNX Runtime with OpenCV resizing (EmotiEffLib);
(c) ours, JPEG files to finished store; (d) our engine alone on ready pixels. tf_efficientnet_b0 with random weights:
speed does not depend on the weights. The ways take turns, so that a drifting machine slows all alike.
`--long N` measures something else: memory and steadiness of a long run (`bench_long.py`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.bench.fixtures import NETWORK, make_crops, random_network
from extract.features import pipeline, store
from extract.networks.registry import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from numpy.typing import NDArray


STORE = "store.safetensors"
REFERENCE_BATCH = 64
WAYS = {
    "a": "reference (torch eager, batch 64)",
    "b": "ONNX Runtime, one picture a time, OpenCV resize",
    "c": "ours, JPEG to store",
    "d": "our engine alone, ready pixels",
}
Way = Callable[[], object]


def main(pictures: int = 512, repeats: int = 5, seed: int = 0) -> dict[str, float]:
    """Median frames/s of each way over `repeats` rounds on `pictures` generated crops, and the ratios of (c); under
    "checking" the part of (c)'s time that hashing takes, when written and when read.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = make_crops(folder / "crops" / "video", pictures, seed)
        ways = _ways(folder, job)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for round_ in range(repeats + 1):
            for way, run in ways.items():
                began = time.perf_counter()
                run()
                if round_:  # the first round warms caches and clocks
                    seconds[way].append(time.perf_counter() - began)
        made = store.read(folder / STORE)
        arrays = [made.frame, *(getattr(made, kind) for kind in made.has())]
        hashing = statistics.median(timeit.repeat(lambda: [*map(store.array_hash, arrays)], number=1, repeat=9))
    took = {way: statistics.median(values) for way, values in seconds.items()}
    rates = {way: pictures / median for way, median in took.items()}
    return (
        rates
        | {f"c/{way}": rates["c"] / rates[way] for way in rates if way != "c"}
        | {"checking": 2 * hashing / took["c"]}
    )


def _ways(folder: Path, job: pipeline.Job) -> dict[str, Way]:
    from extract.engines.openvino_engine import OpenVinoEngine
    from extract.media.images import read

    module, file = random_network(folder, 0)
    paths = [job.folder / name for name in job.frames.names]
    engine = OpenVinoEngine(file, NETWORK)
    ready = [read(path, NETWORK.size, NETWORK.colour) for path in paths]

    def ours() -> None:
        def write(job: pipeline.Job, features: store.VideoFeatures, failed: list[pipeline.Failure]) -> None:
            assert len(features.frame) == len(paths) and not failed
            store.write(folder / STORE, features, {})

        pipeline.extract(engine, [job], write, lambda count: None)

    def alone() -> None:
        for pixels in ready:
            engine.submit(pixels, lambda outputs: None)
        engine.flush()

    runtime = _onnx_runtime(file, paths)
    return {"a": _reference(module, paths)} | ({"b": runtime} if runtime else {}) | {"c": ours, "d": alone}


def _reference(module: Any, paths: list[Path]) -> Way:
    """As the published notebooks do it, without a GPU."""
    import torch
    from PIL import Image

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    def run() -> NDArray[np.float32]:
        grown, batch = np.zeros((0, NETWORK.dim or 0), np.float32), []
        for index, path in enumerate(paths):
            picture = Image.open(path).resize((NETWORK.size, NETWORK.size), Image.Resampling.BILINEAR)
            batch.append((torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255 - mean) / std)
            if len(batch) == REFERENCE_BATCH or index == len(paths) - 1:
                features = module.forward_head(module.forward_features(torch.stack(batch)), pre_logits=True)
                grown = np.concatenate([grown, features.data.numpy()])
                batch = []
        return grown

    return run


def _onnx_runtime(file: Path, paths: list[Path]) -> Way | None:
    """As EmotiEffLib does it; None where onnxruntime (extra [bench]) is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    import cv2

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)

    def run() -> list[NDArray[np.float32]]:
        rows = []
        for path in paths:
            picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            pixels = (cv2.resize(picture, (NETWORK.size, NETWORK.size)) / 255 - mean) / std
            rows.append(session.run(None, {"input": pixels.transpose(2, 0, 1).astype(np.float32)[None]})[0])
        return rows

    return run
