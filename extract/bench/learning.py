"""`python -m extract.bench --learning`: pictures/s of fine-tuning beside a bare torch loop on ready tensors.

Both learn tf_efficientnet_b0 with random weights by the published recipe (SAM around Adam, 224 pixels). Ours reads JPEG
files, mirrors, normalises and writes checkpoints; the bare loop has one batch in memory and nothing else to do. Both
work through a batch in the same parts (on these CPUs that was quicker than 64 pictures at once), each in a process of
its own, in turn, so that memory is of one alone.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.bench import fixtures
from extract.runtime import errors, memory
from extract.runtime.errors import InputError, WorkError
from extract.runtime.process import python_path

if TYPE_CHECKING:
    from extract.learning.train import Run

PROJECT_LOOP, BARE_LOOP = "extract.learning, from JPEG files", "bare torch loop, ready tensors"
DEV_PICTURES = 2
"""The dev slice is scored after an epoch; here it is next to nothing."""


def main(pictures: int, repeats: int, batch: int, device: str, seed: int) -> dict[str, float]:
    """Median pictures/s of both, their "ratio", and the peak memory of ours: "gigabytes", on a GPU "gpu_gigabytes" too.

    Raises InputError for less than two batches (the first warms up), and WorkError where a process fails.
    """
    if pictures < 2 * batch:
        raise InputError(f"--pictures {pictures}: expected at least two batches, {2 * batch}")
    told: dict[str, list[dict[str, float]]] = {PROJECT_LOOP: [], BARE_LOOP: []}
    with tempfile.TemporaryDirectory() as name:
        fixtures.random_network(Path(name), seed)
        fixtures.make_crops(Path(name) / "crops" / "video", pictures, seed)
        for _ in range(repeats):
            for way, results in told.items():
                results.append(_measure(Path(name), way, batch, device, seed))
    rates = {way: statistics.median(result["rate"] for result in results) for way, results in told.items()}
    most = {key: max(result[key] for result in told[PROJECT_LOOP]) for key in told[PROJECT_LOOP][0] if key != "rate"}
    return rates | {"ratio": rates[PROJECT_LOOP] / rates[BARE_LOOP]} | most


def _measure(folder: Path, way: str, batch: int, device: str, seed: int) -> dict[str, float]:
    """Run one way in a process of its own; what it told."""
    command = [sys.executable, "-m", "extract.bench.learning", json.dumps([str(folder), way, batch, device, seed])]
    done = subprocess.run(command, env=os.environ | python_path(), stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise WorkError(f"{way} ended with exit code {done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _run(folder: Path, batch: int, device: str, seed: int) -> Run:
    """A run of fine-tuning on the folder's pictures with labels drawn at random."""
    from dataclasses import replace

    from extract.learning import pictures, recipe, start, train
    from extract.learning.losses import Target
    from extract.media.frames import list_frames

    crops = folder / "crops" / "video"
    names = tuple(list_frames(crops).names)
    truth = np.random.default_rng(seed).integers(0, 8, len(names))
    data = pictures.LabelledPictures((crops,), np.zeros(len(names), np.int32), names, truth)
    classes = fixtures.NETWORK.classes or ()
    path = folder / fixtures.CHECKPOINT
    network = replace(fixtures.NETWORK, path=path, arch=fixtures.ARCH, has_va=False)
    return train.Run(
        name="bench",
        start=start.Start(network, path, ""),
        target=Target("expr", "multiclass", classes, np.ones(len(classes), np.float32)),
        recipe=recipe.Recipe(epochs=1, batch=batch, start="random", device=device),  # type: ignore[arg-type]
        train=data,
        dev=data.take(np.arange(len(names)) < DEV_PICTURES),
        seed=seed,
        folder=folder,
        mark=str(time.time_ns()),  # no checkpoint of a round before fits
        score=lambda truth, scores: 0.0,
    )


def learn_from_files(run: Run) -> float:
    """Pictures/s of an epoch by the program's own loop, from the second batch on."""
    from extract.learning import train

    moments: list[tuple[int, float]] = []

    class Watch:
        """Takes the place of the bar."""

        def advance(self, count: int, text: str = "") -> None:
            moments.append((count, time.perf_counter()))

    learner = train._Learner(run)
    learner.begin()
    learner.learn_epoch(Watch())  # type: ignore[arg-type]
    return sum(count for count, _ in moments[1:]) / (moments[-1][1] - moments[0][1])


def learn_ready_tensors(run: Run) -> float:
    """Pictures/s of plain torch: one batch that lies ready, two passes a step as SAM takes them, Adam."""
    import torch

    from extract.learning import optimiser, pictures, start
    from extract.learning.network import FineTunedNetwork
    from extract.learning.pictures import Unreadable

    device, batch, radius = optimiser.choose_device(run.recipe.device, "bench"), run.recipe.batch, run.recipe.sam
    body, width = start.build(run.start)
    network = FineTunedNetwork(body, width, len(run.target.parts[0].outputs)).to(device)
    network.set_training(frozen_norm=True, head_alone=False)
    adam = torch.optim.Adam(network.parameters(), lr=run.recipe.rate)
    values, rows = next(pictures.read_batches(run.train, np.arange(batch), batch, run.start.network, Unreadable()))
    x = torch.from_numpy(values).to(device)  # the same pictures: of numbers drawn at random it was slower
    truth = torch.from_numpy(np.ascontiguousarray(run.train.truth[rows])).to(device)
    entropy = torch.nn.CrossEntropyLoss(label_smoothing=run.recipe.smoothing)

    parts = list(
        zip(*(t.split(run.recipe.count_at_once(device, follows_batch=False)) for t in (x, truth)), strict=True)
    )

    def compute_gradient() -> None:
        adam.zero_grad()
        for part, true in parts:
            (entropy(network(part)[1], true) * (len(part) / batch)).backward()

    def step() -> None:
        parameters = list(network.parameters())
        compute_gradient()
        before = [p.detach().clone() for p in parameters]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters]))
        with torch.no_grad():
            for p in parameters:
                p.add_(p.grad * (radius / norm))
        compute_gradient()
        with torch.no_grad():
            for p, value in zip(parameters, before, strict=True):
                p.copy_(value)
        adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    step()
    steps = len(run.train) // batch - 1
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * batch / (time.perf_counter() - began)


def _work(folder: str, way: str, batch: int, device: str, seed: int) -> dict[str, Any]:
    """In the process that is measured."""
    import torch

    run = _run(Path(folder), batch, device, seed)
    rate = learn_from_files(run) if way == PROJECT_LOOP else learn_ready_tensors(run)
    told = {"rate": rate, "gigabytes": memory.measure_peak() / 1e9}
    return told | ({"gpu_gigabytes": torch.cuda.max_memory_allocated() / 1e9} if torch.cuda.is_available() else {})


def table(result: dict[str, float]) -> str:
    """The result as Markdown."""
    lines = [f"| {way} | {result[way]:.2f} |" for way in (PROJECT_LOOP, BARE_LOOP)]
    memory_said = f"{result['gigabytes']:.2f} GB"
    if "gpu_gigabytes" in result:
        memory_said += f", {result['gpu_gigabytes']:.2f} GB of the GPU's"
    return "\n".join(["| way | pictures/s |\n|---|---|", *lines, "", f"ratio {result['ratio']:.2f}; {memory_said}"])


if __name__ == "__main__":
    with errors.exits():
        print(json.dumps(_work(*json.loads(sys.argv[1]))))
