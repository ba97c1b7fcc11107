"""The extract step: every picture of the corpus through every network, into the feature store."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from extract import config as configs
from extract import engine, errors, frames, networks, pipeline, sharing, store, tabular, weights
from extract.config import Config, TaskPaths
from extract.errors import InputError
from extract.progress import progress
from extract.rundir import file_hash, fingerprint, sweep, write_json

C = TypeVar("C", bound=Config)
RESIZE = "PIL bilinear, antialiased"
NAMED = 5
"""Unreadable pictures named on screen; all of them are in failures.json."""


def main(config: C, work: Path, *, redo: bool = False) -> C:
    """Make all features that are missing or out of date; return the config with the corpus's paths filled in.

    Unreadable pictures count as frames without a face and are listed in `<work>/features/<network>/failures.json`.
    Raises InputError for frames, networks or a store that cannot be used; videos finished before that stay.
    """
    if config.corpus.demo:
        _render(work)
    config = resolve(config, work)
    if config.corpus.frames:
        videos = frames.list_videos(config.corpus.frames)
        jobs = [pipeline.Job(video, folder, frames.list_frames(folder)) for video, folder in videos.items()]
        if not any(job.frames.names for job in jobs):
            raise InputError(f"{config.corpus.frames[0]}: no pictures in its video folders; expected <video>/00001.jpg")
        for name in dict.fromkeys(config.features.networks):
            if name not in networks.NETWORKS and name not in config.networks and tabular.is_imported(work, name):
                continue
            _extract(networks.find(name, config), jobs, work, config.features.precision, redo)
    return config


def resolve(config: C, work: Path) -> C:
    """Fill in the paths of an embedded corpus; any other config comes back as it is. Does no work."""
    if not config.corpus.demo:
        return config
    from extract.demo.corpus import paths

    where = paths(corpus_folder(work))
    tasks = {task: TaskPaths(**where[task]) for task in ("au", "expr", "va")}
    return config.model_copy(update={"corpus": config.corpus.model_copy(update={"frames": [where["frames"]], **tasks})})


def corpus_folder(work: Path) -> Path:
    """Where the embedded corpus is rendered."""
    return work / "corpus"


def _render(work: Path) -> None:
    from extract.demo.corpus import make

    with progress("render the demo corpus", total=0, unit="frames") as bar:

        def on_progress(done: int, total: int) -> None:
            bar.total = total
            bar.advance(done - bar.done)

        make(corpus_folder(work), on_progress)


def _extract(network: networks.Network, jobs: list[pipeline.Job], work: Path, precision: str, redo: bool) -> None:
    """Bring one network's part of the store up to date, together with whoever else works on it."""
    path = weights.find(network)
    folder = work / "features" / network.name
    about = describe(network, file_hash(path), precision)
    began = time.time()

    def is_done(job: pipeline.Job) -> bool:
        file = store.path(work, network.name, job.video)
        if redo:
            return file.exists() and file.stat().st_mtime >= began
        return _is_current(file, about, job)

    todo = [job for job in jobs if not is_done(job)]
    if not todo:
        return
    claims = sharing.Claims(folder / ".locks")
    failures: list[pipeline.Failure] = []

    def write(job: pipeline.Job, features: store.VideoFeatures, failed: list[pipeline.Failure]) -> None:
        failures.extend(failed)
        video = {"video": job.video, "pictures": _pictures(job), "unreadable": str(len(failed))}
        file = store.path(work, network.name, job.video)
        store.write(file, features, about | video)
        sweep(file)
        claims.release(job.video)

    runner = engine.OpenVinoEngine(path, network, precision)
    with progress(f"extract {network.name}", total=sum(len(job.frames.names) for job in todo), unit="frames") as bar:
        ours = sharing.turns(todo, claims, is_done, passed=lambda job: bar.advance(len(job.frames.names)))
        pipeline.extract(runner, ours, write, bar.advance)
    _report(failures, folder / "failures.json")


def describe(network: networks.Network, sha256: str, precision: str) -> dict[str, str]:
    """What decides a feature's value, as metadata of its file; `mark` is the fingerprint of it (versions excepted)."""
    decides = {
        "network": network.name,
        "weights": sha256,
        "resize": RESIZE,
        "precision": precision,
        "preprocessing": json.dumps([network.size, network.colour, network.mean, network.std]),
        "outputs": json.dumps([network.classifier, network.embedding, network.logits, network.va, network.classes]),
    }
    return decides | {
        "mark": fingerprint(decides),
        "versions": f"openvino {version('openvino')}, pillow {version('pillow')}",
    }


def _pictures(job: pipeline.Job) -> str:
    """Count and hash of a video's picture names: pictures that come or go make its features out of date."""
    names = "/".join(job.frames.names).encode()
    return f"{len(job.frames.names)}:{hashlib.sha1(names, usedforsecurity=False).hexdigest()}"


def _is_current(path: Path, about: dict[str, str], job: pipeline.Job) -> bool:
    """True if the video is done. Raises InputError where the file was made by other weights or other preprocessing."""
    there = store.about(path)
    if there is None:
        return False
    if there.get("mark") != about["mark"]:
        differs = [key for key in about if key not in ("mark", "versions") and there.get(key) != about[key]]
        raise InputError(
            f"{path}: made with "
            + ", ".join(f"{key} {there.get(key)}" for key in differs)
            + "; the config asks for "
            + ", ".join(f"{key} {about[key]}" for key in differs)
            + "; python -m extract.run --redo makes it anew"
        )
    return there.get("pictures") == _pictures(job)


def _report(failures: list[pipeline.Failure], path: Path) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    write_json(path, [{"picture": str(failure.path), "reason": failure.reason} for failure in failures])
    for failure in failures[:NAMED]:
        print(f"warning: {failure.path}: {failure.reason}; counted as a frame without a face", file=sys.stderr)
    if len(failures) > NAMED:
        print(f"warning: {len(failures) - NAMED} more unreadable pictures are listed in {path}", file=sys.stderr)


EXAMPLES = """Examples:

python -m extract.run                                     the embedded demo corpus

python -m extract.run --config configs/affwild2.toml      your own corpus

python -m extract.run --videos clips --out crops          raw videos -> face crops, no features yet

python -m extract.run --list-networks                     which networks there are"""


def command(
    config: Annotated[Path, typer.Option(help="The run's TOML file.")] = configs.DEFAULT,
    work: Annotated[Path | None, typer.Option(help="Work folder; default runs/<corpus name>.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, overrides the config.")] = None,
    redo: Annotated[bool, typer.Option(help="Make all features anew.")] = False,
    videos: Annotated[Path | None, typer.Option(help="Folder of raw videos: find and crop faces, and end.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --videos: where <video>/00001.jpg go.")] = None,
    faces: Annotated[
        int, typer.Option(help="With --videos: 2 gives <video>_left and <video>_right.", min=1, max=2)
    ] = 1,
    size: Annotated[int, typer.Option(help="With --videos: edge of the crops in pixels.", min=16)] = 112,
    list_networks: Annotated[bool, typer.Option("--list-networks", help="Print the known networks and end.")] = False,
) -> None:
    """Turn face crops into features: logits, valence/arousal and embeddings of frozen networks."""
    with errors.exits():
        if videos is not None:
            if out is None:
                raise InputError("--videos: give --out FOLDER, where the face crops go")
            from extract import faces as crops

            sys.exit(crops.command(videos, out, faces=faces, size=size))
        settings = configs.load(Config, config, overrides)
        if list_networks:
            _print_networks()
            return
        folder = work or Path("runs") / settings.corpus.name
        settings = main(settings, folder, redo=redo)
        listed = [
            path
            for name in settings.features.networks
            if (path := folder / "features" / name / "failures.json").exists()
        ]
        print(f"features of {', '.join(settings.features.networks)} are in {folder / 'features'}")
        if listed:
            print(f"some pictures could not be read: see {', '.join(map(str, listed))}", file=sys.stderr)
            sys.exit(1)


def _print_networks() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "size", "colour", "embedding", "outputs", "classes", "hash")
    for row in networks.NETWORKS.values():
        table.add_row(
            row.name,
            str(row.size),
            row.colour,
            str(row.dim),
            ", ".join(row.kinds),
            " ".join(row.classes or ()),
            (row.blob or row.sha256 or "")[:12],
        )
    Console().print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(epilog=EXAMPLES)(command)
    app()
