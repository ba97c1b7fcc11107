"""What `python -m extract.bench` measures: our extraction beside the published ways, on the same pictures, in one run.

(a) reference: torch eager, batches of 64, autograd graph kept, PIL in the same thread, a growing array by concatenation
    (the authors' notebooks); (b) one picture at a time through ONNX Runtime with OpenCV resizing (EmotiEffLib);
(c) ours, JPEG files to finished store; (d) our engine alone on ready pixels; (e) the same as calibrated, where other
streams, threads or requests than OpenVINO's own win. tf_efficientnet_b0 with random weights: speed does not depend on
them, as the features are of ordinary size. The ways take turns, there and back, so that a drifting machine slows all
alike.
`--long N` measures something else: memory and steadiness of a long run (`bench_long.py`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.bench.fixtures import NETWORK, make_crops, random_network
from extract.engines import onnx_session
from extract.engines.calibration import Subject, measure_apart
from extract.engines.graph import Outputs
from extract.engines.onnxruntime_engine import OnnxRuntimeEngine
from extract.engines.openvino_engine import PRECISIONS, OpenVinoEngine
from extract.features import pipeline, store
from extract.media import images
from extract.networks.registry import IMAGENET_MEAN, IMAGENET_STD
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


STORE = "store.safetensors"
REFERENCE_BATCH = 64
WAYS = {
    "a": "reference (torch eager, batch 64)",
    "b": "ONNX Runtime, one picture a time, OpenCV resize",
    "c": "ours, JPEG to store",
    "d": "our engine alone, ready pixels",
    "e": "our engine alone, as calibrated",
}
PAUSE = 0.2
"""Seconds before each way: threads of ONNX Runtime and torch spin a while when they have nothing to do any more."""
Way = Callable[[], object]
OPERATIONS = 2 * 0.39e9
"""Of one picture of 224 pixels: a multiply and an add for each of 0.39 billion (Tan and Le, "EfficientNet", 2019)."""
CORES_OF_PROCESSOR = 128
"""Float32 units of a multiprocessor: NVIDIA's compute capability 8.6, 8.9 and 9.0."""
EDGE = 2048
"""Of the matrices whose product by NumPy's BLAS shows what a CPU can do."""
COMPARED_PICTURES = 100
"""Pictures on which two engines' outputs are compared."""


def main(
    pictures: int = 512, repeats: int = 5, seed: int = 0, device: str = "cpu", precision: str = "fp32"
) -> dict[str, float]:
    """Median frames/s of each way over `repeats` rounds on `pictures` generated crops, and the ratios of (c); under
    "checking" the part of (c)'s time that hashing takes, when written and when read; under "peak" the part of the
    device's float32 operations that (d) uses, by `find_peak`, where that is known.

    With `device` "cuda", or `precision` "bf16", ours runs so: "difference" is then the largest of its outputs from the
    CPU engine's in fp32, in units of the largest output. Raises InputError where there is no GPU that ONNX Runtime can
    use, or this CPU has no bf16.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = make_crops(folder / "crops" / "video", pictures, seed)
        module, file = random_network(folder, 0)
        engine = create_engine(file, device, precision)
        found = measure_apart(Subject(file, NETWORK, precision, None)) if device == "cpu" else None
        rival = found and found.setting and OpenVinoEngine(file, NETWORK, precision, setting=found.setting)
        ways = _ways(job, module, file, engine, folder, rival)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for round_ in range(repeats + 1):
            for way in list(ways)[:: 1 if round_ % 2 else -1]:  # whoever follows a slow one finds cold caches
                time.sleep(PAUSE)
                began = time.perf_counter()
                ways[way]()
                if round_:  # the first round warms caches and clocks
                    seconds[way].append(time.perf_counter() - began)
        made = store.read(folder / STORE)
        arrays = [made.frame, *(getattr(made, kind) for kind in made.has())]
        hashing = statistics.median(timeit.repeat(lambda: [*map(store.array_hash, arrays)], number=1, repeat=9))
        plain = device == "cpu" and precision == "fp32"
        difference = None if plain else compare_engines(create_engine(file, "cpu"), engine, job)
    took = {way: statistics.median(values) for way, values in seconds.items()}
    rates = {way: pictures / median for way, median in took.items()}
    return (
        rates
        | {f"c/{way}": rates["c"] / rates[way] for way in rates if way != "c"}
        | {"checking": 2 * hashing / took["c"]}
        | ({"difference": difference} if difference is not None else {})
        | ({"peak": rates["d"] * OPERATIONS / most} if precision == "fp32" and (most := find_peak(device)) else {})
    )


def create_engine(file: Path, device: str, precision: str = "fp32") -> pipeline.Engine:
    """Our engine of a device, "cpu" or "cuda". Raises InputError for another one, a GPU that cannot be used, or bf16
    where the CPU has none.
    """
    if precision not in PRECISIONS.values():
        raise InputError(f"--precision {precision}: no such precision; expected {' or '.join(PRECISIONS.values())}")
    if device == "cpu":
        engine = OpenVinoEngine(file, NETWORK, precision)
        if engine.remark:
            raise InputError(f"--precision {precision}: {engine.remark}")
        return engine
    if device != "cuda" or onnx_session.find_device() != "cuda":
        what = "no such device" if device != "cuda" else "ONNX Runtime finds no GPU that it can use"
        raise InputError(f"--device {device}: {what}; expected cpu, or cuda where there is one")
    return OnnxRuntimeEngine(file, NETWORK, precision, "cuda")


def compare_engines(first: pipeline.Engine, second: pipeline.Engine, job: pipeline.Job) -> float:
    """The largest difference of two engines' outputs on some pictures, in units of the largest output."""
    results: dict[pipeline.Engine, list[Outputs]] = {first: [], second: []}
    for name in job.frames.names[:COMPARED_PICTURES]:
        picture = images.read(job.folder / name, NETWORK.size, NETWORK.colour)
        for engine, rows in results.items():  # one at a time: results come in any order
            engine.begin_video()
            engine.submit(picture, rows.append)
            engine.flush()
    pairs = [(a[kind], b[kind]) for a, b in zip(*results.values(), strict=True) for kind in a]
    return max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12)) for a, b in pairs)


def find_peak(device: str) -> float:
    """Float32 operations per second: on the CPU those of the product of two large matrices, on a GPU what it can do by
    its facts, 0 where torch does not tell them.
    """
    if device == "cpu":
        square = np.ones((EDGE, EDGE), np.float32)
        return 2 * EDGE**3 / min(timeit.repeat(lambda: square @ square, number=1, repeat=9))
    import torch

    if not torch.cuda.is_available():
        return 0.0
    facts = torch.cuda.get_device_properties(0)
    return 2.0 * CORES_OF_PROCESSOR * facts.multi_processor_count * getattr(facts, "clock_rate", 0) * 1000


def _ways(
    job: pipeline.Job, module: Any, file: Path, engine: pipeline.Engine, folder: Path, rival: pipeline.Engine | None
) -> dict[str, Way]:
    paths = [job.folder / name for name in job.frames.names]
    ready = [images.read(path, NETWORK.size, NETWORK.colour) for path in paths]

    def ours() -> None:
        def write(job: pipeline.Job, features: store.VideoFeatures, failed: list[pipeline.Failure]) -> None:
            assert len(features.frame) == len(paths) and not failed
            store.write(folder / STORE, features, {})

        pipeline.extract(engine, [job], write, lambda count: None)

    def alone(runner: pipeline.Engine) -> None:
        for pixels in ready:
            runner.submit(pixels, lambda outputs: None)
        runner.flush()

    ways: dict[str, Way | None] = {"a": _reference(module, paths), "b": _onnx_runtime(file, paths), "c": ours}
    ways |= {"d": partial(alone, engine), "e": rival and partial(alone, rival)}
    return {name: way for name, way in ways.items() if way}


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
