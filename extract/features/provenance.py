"""What a feature file was made from: whether it still stands for its pictures, and which of them could not be read."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from extract.features import store
from extract.features.pipeline import Failure, Job
from extract.networks.registry import Network
from extract.runtime import inputs
from extract.runtime.errors import InputError
from extract.runtime.run_folder import fingerprint, write_text

AGAIN = -2
"""The size that no file has: noted of a picture that may be readable next time, so that its video is not current."""
RESIZE = "PIL bilinear, antialiased"
AS_THEY_ARE = {"pixels": "0 to 255, as they are"}
"""Said of networks that take whole numbers. Features of theirs that lack it were made of pixels between 0 and 1."""


def describe(network: Network, sha256: str, precision: str, whole: bool = False) -> dict[str, str]:
    """What decides a feature's value, as metadata; `mark` is its fingerprint. `whole`: pixels are whole numbers.

    The engine does not: in fp32 engines agree to 1e-4, so machines with and without a GPU can share one folder. bf16 is
    rounded as each machine can (about 1 %), and taken for the same. What really made a file is in `made_by`.
    """
    decides = {
        "network": network.name,
        "weights": sha256,
        "resize": RESIZE,
        "precision": precision,
        "preprocessing": json.dumps([network.size, network.colour, network.mean, network.std]),
        "outputs": json.dumps([network.classifier, network.embedding, network.logits, network.va, network.classes]),
    }
    decides |= AS_THEY_ARE if whole else {}
    return decides | {"mark": fingerprint(decides)}


def describe_engine(engine: str) -> dict[str, str]:
    """What computed a file's features, as metadata: the engine (its `runs`) and who decoded the pictures."""
    return {"engine": engine, "versions": f"pillow {version('pillow')}"}


def describe_video(job: Job, failures: list[Failure], corpus: str) -> dict[str, str]:
    """What to remember of one video: its pictures, and the unreadable ones with their sizes and reasons.

    `corpus` is the version of an embedded corpus, whose pictures change under the same names; else empty.
    """
    sizes = [AGAIN if failure.passing else inputs.file_size(failure.path) for failure in failures]
    names = [failure.path.relative_to(job.folder).as_posix() for failure in failures]
    unreadable = [[name, size, failure.reason] for name, size, failure in zip(names, sizes, failures, strict=True)]
    return {"video": job.video, "pictures": _pictures(job, corpus), "unreadable": json.dumps(unreadable)}


def is_current(path: Path, about: dict[str, str], job: Job, corpus: str) -> bool:
    """True if the video is done: same pictures by name, and none that could not be read was replaced since.

    Others are not noticed (`--redo` is for them). Raises InputError where the file was made by other weights or other
    preprocessing.
    """
    there = store.read_about(path)
    if there is None:
        return False
    if there.get("mark") != about["mark"]:
        differs = [key for key in about if key != "mark" and there.get(key) != about[key]]
        if differs == [*AS_THEY_ARE] and not AS_THEY_ARE.keys() & there.keys():
            return False
        before, now = (", ".join(f"{key} {facts.get(key)}" for key in differs) for facts in (there, about))
        raise InputError(
            f"{path}: made with {before}; the config asks for {now}; python -m extract.run --redo makes it anew"
        )
    if there.get("pictures") != _pictures(job, corpus):
        return False
    unreadable = inputs.parse_json(there.get("unreadable", "[]"))
    return all(inputs.file_size(job.folder / name) == size for name, size, _ in unreadable)


def failures(work: Path, network: str, jobs: list[Job]) -> list[Failure]:
    """Every unreadable picture of these videos, whichever process met it."""
    there = ((job, store.read_about(store.path(work, network, job.video)) or {}) for job in jobs)
    listed = ((job, inputs.parse_json(about.get("unreadable", "[]"))) for job, about in there)
    return [Failure(job.folder / name, why) for job, unreadable in listed for name, _, why in unreadable]


def _pictures(job: Job, corpus: str) -> str:
    """Count and hash of a video's picture names; of a set its first one's size, too: enlarged ones have the same."""
    if job.frames.is_subset:
        corpus += f", {inputs.file_size(job.folder / job.frames.names[0])} bytes"
    names = "/".join((*job.frames.names, *job.frames.odd, corpus)).encode(errors="surrogateescape")
    return f"{len(job.frames.names)}:{hashlib.sha1(names, usedforsecurity=False).hexdigest()}"


STAMP = ".redo"


def redo_since(folder: Path, mark: str, asked: bool) -> int | None:
    """Since when (nanoseconds, the disk's clock) features must have been made by `mark`; None: they may be of any age.
    Where `asked`, a stamp is left unless one of the same mark is there: of a redo that was killed. It holds, asked or
    not, until `finish_redo`.
    """
    stamp = folder / STAMP
    there = stamp.read_text(encoding="utf-8") if stamp.exists() else None
    if asked and there != mark:
        write_text(stamp, mark)
        there = mark
    return stamp.stat().st_mtime_ns if there == mark else None


def finish_redo(folder: Path) -> None:
    """Everything has been made anew."""
    if (folder / STAMP).exists():  # a folder without one may be on a disk that is only read
        (folder / STAMP).unlink(missing_ok=True)


def is_imported(work: Path, name: str) -> bool:
    """True if the features called `name` in the store came from a table."""
    return "table" in next(filter(None, read_all_about(work, name)), {})


def read_all_about(work: Path, name: str) -> list[dict[str, str]]:
    """The metadata of all of a name's files, by video; {} for a damaged one."""
    folder = work / "features" / name
    return [store.read_about(path) or {} for path in sorted(folder.glob("*.safetensors")) if path.name[0] != "."]
