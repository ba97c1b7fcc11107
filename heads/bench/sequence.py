"""`python -m heads.bench.sequence`: rows/s and memory of the published (4,4) encoder, or of another head over time, at
Aff-Wild2's size.

One epoch over the AU part's train, its 1280-d embeddings left in their feature files and read clip by clip, then a look
at dev, in a process of its own as heads are trained; on a GPU too, where there is one. Memory is that of the whole tree
of processes, this one included.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from extract.config import CONFIGS
from extract.runtime import cli, errors, inputs, run_folder
from extract.runtime.console import console
from extract.runtime.errors import InputError
from heads.base import threads
from heads.bench import corpus as bench_corpus
from heads.bench.measure import FramesTable, Scale, find_frames, run_child
from heads.train import processes

PUBLISHED_CONFIG = CONFIGS / "paper" / "au_encoder_4_4.toml"
EPOCHS = 20
DEVICES = ("cpu", "cuda")
CHILD = "import sys; from heads.bench import sequence; sequence.child(*sys.argv[1:])"


def main(
    work: Path,
    scale: float = 1.0,
    frames: Path | None = None,
    seed: int = 0,
    devices: Sequence[str] = DEVICES,
    head: Path = PUBLISHED_CONFIG,
) -> dict[str, Any]:
    """Make the corpus where it is missing, measure, and keep the figures in `<work>/bench_sequence.json`, or
    `bench_sequence_<head>.json` of another head than the published one.
    """
    name = "sequence" if head == PUBLISHED_CONFIG else f"sequence_{head.stem}"
    bench_corpus.make(work, frames, scale, seed)
    results: dict[str, Any] = {"corpus": json.loads((work / "corpus.json").read_text())}
    for device in devices:
        environment = threads.environment(gpu=device == "cuda") | {threads.VARIABLE: str(processes.CORES)}
        measured, gigabytes = run_child(f"{name}, {device}", ["-c", CHILD, str(work), device, str(head)], environment)
        results[device] = measured and measured | {"gigabytes": gigabytes}
        run_folder.write_json(work / f"bench_{name}.json", results)
    return results


def child(work: str, device: str, head: str) -> None:
    """Prints what was measured as JSON: null where there is no such device."""
    from heads.families.sequence import training as sequence_training

    if sequence_training.device().type != device:
        print("null")
        return
    print(json.dumps(measure(Path(work), Path(head))))


def measure(work: Path, head_file: Path = PUBLISHED_CONFIG) -> dict[str, Any]:
    """One epoch and one look at dev, with their seconds, and those of reading before."""
    from heads import config
    from heads.abaw import read
    from heads.abaw.tasks import TASKS
    from heads.base.selection import selection_score
    from heads.data import lazy_block
    from heads.data.table import Source
    from heads.families.sequence import training as sequence_training
    from heads.families.sequence.head import Sequence
    from heads.train import fit

    task, settings = TASKS["au"], config.read_head(str(head_file), "au", {"inputs": ["embedding"]})
    began = time.perf_counter()
    train = read.read_folder(work / "annotations" / "train", task)
    prepared = fit.prepare_train(work, [Source(bench_corpus.NETWORK, ("embedding",))], settings, train, task, thin=True)
    head = fit.create_head(prepared)
    assert isinstance(head, Sequence)
    part, on_disk = prepared.part, isinstance(prepared.labelled_rows.rows.blocks[0].values, lazy_block.LazyBlock)
    training = head.training(part.train, EPOCHS, 0)
    at = [began, time.perf_counter()]
    worked = time.process_time()
    training.epoch()
    worked = time.process_time() - worked
    at.append(time.perf_counter())
    scores = sequence_training.predict_rows(training.model, task, part.dev.rows, training.course, overlap=0.0)
    at.append(time.perf_counter())
    reading, epoch, look = (b - a for a, b in pairwise(at))
    return {
        "rows": len(part.train),
        "on_disk": on_disk,
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "rows_per_second": len(part.train) / epoch,
        "rows_per_processor_second": len(part.train) / worked,
        "reading_seconds": reading,
        "epoch_seconds": epoch,
        "dev_seconds": look,
        "run_seconds": reading + EPOCHS * (epoch + look),
        "dev_score": selection_score(task, part.dev.truth, scores),
        "precision": "bf16" if training.course.half else "fp32",
    }


def list_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What was measured, for people."""
    rows = []
    for device, name in (("cpu", f"CPU, {processes.CORES} cores"), ("cuda", "GPU")):
        if device not in result:
            continue
        if (item := result[device]) is None:
            rows.append((name, "there is none"))
            continue
        seconds = f"{item['epoch_seconds']:,.0f} s, {item['dev_seconds']:,.0f} s"
        memory = "not known here" if item["gigabytes"] is None else f"{item['gigabytes']:.2f} GB"
        rows += [
            (f"{name}, {item['precision']}: rows/s in an epoch", f"{item['rows_per_second']:,.0f}"),
            (f"{name}: an epoch of {item['rows']:,} rows, a look at dev", seconds),
            (f"{name}: rows/s of processor time", f"{item['rows_per_processor_second']:,.0f}"),
            (f"{name}: a run of {EPOCHS} epochs would take", f"{item['run_seconds'] / 60:,.0f} min"),
            (f"{name}: memory of all processes", memory),
        ]
    return rows


def choose_devices(asked: str | None) -> Sequence[str]:
    """The devices to measure. Raises InputError for one that is none."""
    if asked is not None and asked not in DEVICES:
        raise InputError(f"--device {asked}: no such device; expected cpu or cuda")
    return DEVICES if asked is None else (asked,)


def _is_one_encoder(path: Path) -> bool:
    table = inputs.read_toml(path)
    return table["family"] == "sequence" and len(table.get("shapes", [])) == 1


def find_head(name: str | None) -> Path:
    """The file of a standard head of au, or the published encoder's. Raises InputError for a head that is none over
    time, or the mean of several.
    """
    if name is None:
        return PUBLISHED_CONFIG
    kinds = {path.stem: path for path in sorted((CONFIGS / "heads" / "au").glob("*.toml"))}
    kinds = {stem: path for stem, path in kinds.items() if _is_one_encoder(path)}
    if name not in kinds:
        raise InputError(f"--head {name}: no such head over time; expected one of {', '.join(kinds)}")
    return kinds[name]


EXAMPLES = """Examples:

python -m heads.bench.sequence --scale 0.01        in small, to see that it works

python -m heads.bench.sequence --device cuda       on the GPU alone

python -m heads.bench.sequence --head tcn          dilated convolutions in place of the published encoder

python -m heads.bench.sequence --scale 1           at full size (4.7 GB on disk)"""


def command(
    scale: Scale = 1.0,
    head: Annotated[str | None, typer.Option(help="tcn, bigru, ...: a standard head of au, on embeddings.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda alone; default both, where there are both.")] = None,
    work: Annotated[Path | None, typer.Option(help="Work folder; default runs/bench-<scale>, as heads.bench.")] = None,
    frames: FramesTable = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Measure an encoder over time on a corpus of Aff-Wild2's size."""
    from rich.table import Table

    with errors.exits():
        folder = work or Path("runs") / f"bench-{scale:g}"
        result = main(folder, scale, find_frames(frames), seed, choose_devices(device), find_head(head))
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
            return
        shown = Table("what", "measured")
        for row in list_rows(result):
            shown.add_row(*row)
        console().print(shown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
