"""Super-resolution of face crops: each picture of a folder through a network that enlarges it, or Lanczos's filter.

As published for learning from synthetic data (Savchenko, ECCVW 2022): x4 by the network, then reduced to x2, and
training pictures only: real pictures that are graded got worse by it. Whole files appear under the names of their
originals, so a killed run goes on, and results of other programs (`12_out.jpg`) are taken over under these names.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from extract import config as configs
from extract.config import Config
from extract.engines import create
from extract.engines.graph import PICTURE
from extract.features.pipeline import AHEAD, cores
from extract.media import images
from extract.media.frames import PICTURE_LIKE
from extract.networks import srvgg, weights
from extract.networks.registry import Network
from extract.runtime import cli, errors, inputs, run_folder
from extract.runtime.errors import InputError, warn
from extract.runtime.file_names import printable
from extract.runtime.progress import progress
from extract.runtime.run_folder import file_hash, write_json, write_whole

LANCZOS = "lanczos"
MADE_BY = "enlarged.json"
FAILURES = "failures.json"
OUT = "_out"
"""What Real-ESRGAN's program puts behind the names of its results."""
QUALITY = 95
MOST_SIZES = 20
MAX_NAMES = 5
LARGEST = 1.5
"""A network of pictures between 0 and 1 hardly passes this; one of pictures from 0 to 255 does."""


@dataclass
class Report:
    """What became of a folder's pictures; counts include those of earlier runs."""

    folder: Path
    pictures: int = 0
    taken_over: int = 0
    """Results of another program that were there."""
    failures: dict[str, str] = field(default_factory=dict)
    """Picture -> why it could not be enlarged."""


def main(
    folder: Path,
    out: Path,
    network: str = LANCZOS,
    times: int = 2,
    *,
    output: str | None = None,
    engine: str = "auto",
    redo: bool = False,
) -> Report:
    """Enlarge every picture below `folder` into `out`, under the same names; what is there already stays.

    `network` is "lanczos", an ONNX file [1, 3, H, W] -> [1, 3, s H, s W] of pixels between 0 and 1, with its only
    output (or the one called `output`), or a checkpoint of SRVGGNetCompact; Lanczos's filter scales what it gives to
    `times` the original's size. Pictures that cannot be read are listed in the report and in `<out>/failures.json`.
    Raises InputError for a folder or network that cannot be used, and an `out` that was made otherwise; pictures
    finished before that stay.
    """
    pictures = _list_pictures(folder, out)
    made_by = {"network": network if network == LANCZOS else _hash(Path(network)), "times": times}
    with run_folder.hold_folder(out):
        _check_made_by(out, made_by, redo)
        report = Report(out, len(pictures))
        todo = []
        for picture in pictures:
            there, other = _is_made(out, picture)
            report.taken_over += other
            if redo or not there:
                todo.append(picture)
        if todo:
            write_json(out / MADE_BY, made_by)
            enlarge: Enlarger = Lanczos() if network == LANCZOS else ByNetwork(Path(network), output, engine)
            _enlarge_all(folder, out, todo, times, enlarge, report)
        if report.failures:
            write_json(out / FAILURES, report.failures)
        else:
            (out / FAILURES).unlink(missing_ok=True)
    return report


def _list_pictures(folder: Path, out: Path) -> list[str]:
    """Pictures below a folder, relative to it, sorted."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}, expected a folder of pictures, or of folders of pictures")
    if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
        raise InputError(f"--out {out}: lies in the folder that is enlarged; choose another one")
    results = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        results += [str((Path(place) / name).relative_to(folder)) for name in names if PICTURE_LIKE.fullmatch(name)]
    if not results:
        raise InputError(f"{folder}: no pictures in it; expected .jpg or .png files, in folders or not")
    return sorted(results)


def _hash(network: Path) -> str:
    inputs.require_file(network, "network", "expected an ONNX file, a checkpoint (.pth) of SRVGGNetCompact, or lanczos")
    return file_hash(network)


def _check_made_by(out: Path, made_by: dict[str, Any], redo: bool) -> None:
    """Raise InputError where the folder's pictures were made by another network, or another size."""
    if redo or not (out / MADE_BY).exists():
        return
    there = run_folder.read_json(out / MADE_BY, "--redo makes the pictures anew")
    if there != made_by:
        raise InputError(
            f"{out}: made with network {str(there.get('network'))[:16]}, times {there.get('times')}; now asked for are "
            f"{str(made_by['network'])[:16]}, {made_by['times']}: choose another --out, or make all anew with --redo"
        )


def _is_made(out: Path, picture: str) -> tuple[bool, bool]:
    """Whether a picture's result is there, and whether another program made it: then it gets the picture's name."""
    target = out / picture
    if target.exists():
        return True, False
    stem = target.with_suffix("").name
    for suffix in dict.fromkeys((target.suffix, ".png", ".jpg", ".jpeg")):
        other = target.with_name(f"{stem}{OUT}{suffix}")
        if other.is_file():
            os.replace(other, target)  # what it is tells its content, not its name
            return True, True
    return False, False


Pixels = NDArray[np.uint8]
OnPicture = Callable[[NDArray[np.uint8]], None]


class Lanczos:
    """Leaves pictures as they are: what follows scales them."""

    def submit(self, pixels: Pixels, done: OnPicture) -> None:
        """Give back a picture [H, W, 3]."""
        done(pixels)

    def flush(self) -> None:
        """Nothing is on its way."""


class ByNetwork:
    """A network that enlarges square pictures, an engine for each size that comes."""

    def __init__(self, path: Path, output: str | None, engine: str) -> None:
        self.path, self.output, self.kind = path, output, engine
        self._sizes: dict[int, Any] = {}

    def submit(self, pixels: Pixels, done: OnPicture) -> None:
        """Enlarge a picture [H, H, 3]; `done` gets it as uint8 [s H, s H, 3], on any thread.

        Raises UnreadablePicture for one that is not square, InputError where the network gives no larger picture.
        """
        height, width = pixels.shape[:2]
        if height != width:
            raise images.UnreadablePicture(f"{width}x{height} pixels, expected a square crop of a face")
        if height not in self._sizes:
            if len(self._sizes) == MOST_SIZES:
                raise InputError(f"pictures of more than {MOST_SIZES} sizes, expected crops of one: crop faces first")
            self.flush()
            self._sizes[height] = self._open(height)
        self._sizes[height].submit(pixels, lambda outputs: done(as_pixels(outputs[PICTURE], height, self.path)))

    def flush(self) -> None:
        """Wait for all pictures."""
        for engine in self._sizes.values():
            engine.flush()

    def _open(self, size: int) -> Any:
        is_checkpoint = self.path.suffix.lower() in srvgg.SUFFIXES
        path = srvgg.to_onnx(self.path, weights.cache(), size) if is_checkpoint else self.path
        name = srvgg.OUTPUT if is_checkpoint else self.output or _only_output(path)
        facts = Network(
            self.path.stem, size, (0.0,) * 3, (1.0,) * 3, file=path.name, classifier=False, picture=name,
            section="--network",
        )  # fmt: skip
        opened = create.create(self.kind, path, facts, "fp32")
        as_pixels(opened.run(np.full((size, size, 3), 128, np.uint8))[PICTURE], size, self.path, is_grey=True)
        return opened


def _only_output(path: Path) -> str:
    """The name of an ONNX file's output. Raises InputError where it has several, or is none."""
    import onnx

    from extract.networks.checkpoints import explain_unreadable

    try:
        names = [output.name for output in onnx.load(path, load_external_data=False).graph.output]
    except Exception as error:  # protobuf raises its own kinds for foreign bytes
        raise InputError(f"{path}: not an ONNX network ({explain_unreadable(path, error)})") from error
    if len(names) != 1:
        raise InputError(f"{path}: has the outputs {', '.join(names)}; name the enlarged picture with --output")
    return names[0]


def as_pixels(row: NDArray[np.float32], size: int, path: Path, is_grey: bool = False) -> NDArray[np.uint8]:
    """What a network gives, flat, of a picture of `size` pixels -> uint8 [s size, s size, 3], s = 1, 2, ...

    Raises InputError for another number of values, and, of a picture that `is_grey`, for values far above 1.
    """
    times = round((len(row) / 3) ** 0.5 / size)
    if not times or len(row) != 3 * (times * size) ** 2:
        raise InputError(
            f"{path}: gives {len(row):,} numbers of a picture of {size}x{size} pixels, expected 3 x {size}s x {size}s: "
            f"is it a network that enlarges pictures?"
        )
    if is_grey and not np.abs(row).max() < LARGEST:
        raise InputError(
            f"{path}: gives values up to {np.abs(row).max():.3g} of a grey picture, expected pixels between 0 and 1: "
            f"export the network with them divided by 255"
        )
    picture = row.reshape(3, times * size, times * size).transpose(1, 2, 0)
    return (np.nan_to_num(picture).clip(0, 1) * 255).round().astype(np.uint8)


Enlarger = Lanczos | ByNetwork


def _enlarge_all(folder: Path, out: Path, todo: list[str], times: int, enlarge: Enlarger, report: Report) -> None:
    """Decode ahead, enlarge, and write behind, a bounded number of pictures at a time."""
    room = threading.BoundedSemaphore(AHEAD)
    problems: list[BaseException] = []
    with (
        progress(f"enlarge {folder.name}", len(todo), "pictures") as bar,
        ThreadPoolExecutor(max(2, cores())) as readers,
        ThreadPoolExecutor(max(2, cores())) as writers,
    ):

        def save(picture: str, size: tuple[int, int], pixels: Pixels) -> None:
            try:
                _write(out / picture, Image.fromarray(pixels), (times * size[0], times * size[1]))
                bar.advance()
            except BaseException as error:
                problems.append(error)
            finally:
                room.release()

        for picture, decoded in _ahead(readers, folder, todo):
            room.acquire()
            try:
                pixels = np.asarray(decoded.result())
                size = pixels.shape[1], pixels.shape[0]
                enlarge.submit(
                    pixels, lambda made, name=picture, size=size: writers.submit(save, name, size, made) and None
                )
            except images.UnreadablePicture as error:
                report.failures[picture] = str(error)
                bar.advance()
                room.release()
            if problems:
                raise problems[0]
        enlarge.flush()
    if problems:
        raise problems[0]


def _ahead(readers: ThreadPoolExecutor, folder: Path, todo: list[str]) -> Iterator[tuple[str, Future[Image.Image]]]:
    """Each picture as it is decoded, some ahead of the one that is asked for."""
    waiting: list[tuple[str, Future[Image.Image]]] = []
    for picture in todo:
        waiting.append((picture, readers.submit(images.decode, folder / picture, "RGB")))
        if len(waiting) >= AHEAD:
            yield waiting.pop(0)
    yield from waiting


def _write(path: Path, picture: Image.Image, size: tuple[int, int]) -> None:
    """Scale a picture to a size by Lanczos's filter, and write it as its name says: JPEG, or PNG."""
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg", ".jfif")
    with write_whole(path) as temporary:
        picture.save(temporary, "JPEG" if is_jpeg else "PNG", **({"quality": QUALITY} if is_jpeg else {}))


EXAMPLES = """Examples:
python -m extract.enlarge faces --out faces_x2                           Lanczos's filter, to twice the size
python -m extract.enlarge faces --out faces_x2 --network realesr-general-x4v3.pth      x4, then reduced to x2
python -m extract.enlarge faces --out faces_x4 --network sr.onnx --times 4
python -m extract.enlarge --config mine.toml --network sr.onnx           the training pictures of [corpus.lsd] alone"""


def command(
    folder: Annotated[
        Path | None, typer.Argument(help="Pictures, or folders of them; default: the config's training pictures.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where they go; default <work>/enlarged/<the folder's name>.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="An ONNX file, a checkpoint of SRVGGNetCompact (.pth), or lanczos.")
    ] = LANCZOS,
    times: Annotated[int, typer.Option(help="How many times as large, whatever the network gives.", min=1, max=8)] = 2,
    output: Annotated[str | None, typer.Option(help="The enlarged picture among an ONNX file's outputs.")] = None,
    engine: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    config: cli.ConfigFile = configs.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    redo: Annotated[bool, typer.Option(help="Make all pictures anew.")] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Enlarge face crops by super-resolution; by default the training pictures of learning from synthetic data."""
    with errors.exits():
        settings = configs.load(Config, config, overrides)
        home = work or Path("runs") / settings.corpus.name
        if engine not in ("auto", "openvino", "onnxruntime"):
            raise InputError(f"--engine {engine}: expected auto, openvino or onnxruntime")
        source = folder or _find_training(settings, home, config)
        report = main(
            source, out or home / "enlarged" / source.name, network, times, output=output, engine=engine, redo=redo
        )
        if as_json:
            facts = {"folder": str(report.folder), "pictures": report.pictures, "taken_over": report.taken_over}
            print(json.dumps(facts | {"failures": report.failures}, indent=2, ensure_ascii=False))
        else:
            made = report.pictures - len(report.failures)
            other = f", {report.taken_over:,} of them another program's" if report.taken_over else ""
            print(f"{made:,} of {report.pictures:,} pictures are in {report.folder}{other}")
            if folder is None and not settings.corpus.demo:
                corpus = settings.corpus
                task = next(name for name in configs.CHALLENGES if getattr(corpus, name) in corpus.stills)
                print(f"to learn from them: --set corpus.{task}.train={report.folder.absolute()}")
        for picture, why in [*report.failures.items()][:MAX_NAMES]:
            warn(f"{printable(str(source / picture))}: {why}; left out")
        if report.failures:
            print(f"{len(report.failures)} pictures were left out: {report.folder / FAILURES}", file=sys.stderr)
            raise typer.Exit(1)


def _find_training(settings: Config, work: Path, config: Path) -> Path:
    """The folder of training pictures of the config's task on single pictures; drawn, where that is embedded."""
    from extract import run

    corpus = run.resolve(settings, work).corpus
    if not corpus.stills or corpus.stills[0].train is None:
        raise InputError(
            f"{config}: no training pictures of a task on single pictures (corpus.lsd.train); name a folder of "
            f"pictures, or give a --config that has them"
        )
    run.prepare_corpus(settings, work)
    return corpus.stills[0].train


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
