"""`python -m extract.bench`: frames/s of our extraction beside the published ways, on the same pictures, in one run.

(a) reference: torch eager, batches of 64, autograd graph kept, PIL in the same thread, a growing array by concatenation
    (the authors' notebooks); (b) one picture at a time through ONNX Runtime with OpenCV resizing (EmotiEffLib);
(c) ours, JPEG files to finished store; (d) our engine alone on ready pixels. tf_efficientnet_b0 with random weights:
speed does not depend on the weights. The ways take turns, so that a drifting machine slows all alike.
`--long N` measures something else: memory and steadiness of a long run (`bench_long.py`).
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from extract import checkpoints, errors, frames, pipeline, store
from extract.networks import IMAGENET_MEAN, IMAGENET_STD, NETWORKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NETWORK = NETWORKS["enet_b0_8_best_vgaf"]
ARCH = "tf_efficientnet_b0"
CHECKPOINT = "b0.pt"
STORE = "store.safetensors"
REFERENCE_BATCH = 64
CROP = 112
"""Edge of Aff-Wild2's cropped_aligned pictures, in pixels."""
WAYS = {
    "a": "reference (torch eager, batch 64)",
    "b": "ONNX Runtime, one picture a time, OpenCV resize",
    "c": "ours, JPEG to store",
    "d": "our engine alone, ready pixels",
}
Way = Callable[[], object]


def main(pictures: int = 512, repeats: int = 5, seed: int = 0) -> dict[str, float]:
    """Median frames/s of each way over `repeats` rounds on `pictures` generated crops, and the ratios of (c).

    Under "checking" the time that hashing the features takes, when written and when read, as a part of (c)'s.
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


def make_crops(folder: Path, count: int, seed: int) -> pipeline.Job:
    """`count` generated JPEG crops of 112x112 with the detail of a photograph: smooth shapes and some noise."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        coarse = Image.fromarray(rng.integers(40, 216, (8, 8, 3), np.uint8)).resize(
            (CROP, CROP), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (CROP, CROP, 3), np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=95)
    return pipeline.Job("video", folder, frames.list_frames(folder))


def random_network(folder: Path, seed: int) -> tuple[Any, Path]:
    """ARCH with random weights: timm's module, and an ONNX file made from it by way of `folder`/CHECKPOINT."""
    import torch

    torch.manual_seed(seed)
    outputs = len(NETWORK.classes or ())
    module = checkpoints.import_timm().create_model(ARCH, num_classes=outputs).eval()
    torch.save(module.state_dict(), folder / CHECKPOINT)
    return module, checkpoints.to_onnx(
        folder / CHECKPOINT, folder, arch=ARCH, outputs=outputs, size=NETWORK.size, trusted=False
    )


def _ways(folder: Path, job: pipeline.Job) -> dict[str, Way]:
    from extract.engine import OpenVinoEngine
    from extract.pictures import read

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


def command(
    pictures: Annotated[int, typer.Option(help="Generated crops of 112x112.", min=1)] = 512,
    repeats: Annotated[int, typer.Option(help="Rounds; medians are printed.", min=1)] = 5,
    seed: int = 0,
    long: Annotated[
        int, typer.Option(help="Extract so many crops instead, and show memory and frames/s from tenth to tenth.")
    ] = 0,
    network: Annotated[str, typer.Option(help=f"With --long: {ARCH} (random weights), or a known network.")] = ARCH,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Measure extraction against the published ways, or with --long over time. Takes some minutes."""
    with errors.exits():
        if long:
            from extract import bench_long

            tenths = bench_long.main(long, network, seed)
            print(json.dumps(asdict(tenths), default=list) if as_json else bench_long.table(tenths))
            return
        found = main(pictures, repeats, seed)
        if as_json:
            print(json.dumps(found))
            return
        print(f"| way | frames/s | ours is |\n|---|---|---|\n| (c) {WAYS['c']} | {found['c']:.0f} | |")
        for way in ("a", "b", "d"):
            if way in found:
                print(f"| ({way}) {WAYS[way]} | {found[way]:.0f} | {found[f'c/{way}']:.2f} times |")
            else:
                print(f"| ({way}) {WAYS[way]} | pip install -e .[bench] | |")
        print(f"| hashing its features, when written and when read | {found['checking']:.3%} of (c)'s time | |")


EXAMPLES = """Examples:

python -m extract.bench                                          beside the published ways

python -m extract.bench --long 50000                             a long run, tf_efficientnet_b0

python -m extract.bench --long 50000 --network demo_enet         the same with a small network"""


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
