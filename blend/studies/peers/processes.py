"""Peers learn, each in a process of the Python that has its library, and leave a folder as our heads do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blend.studies.ablation import Data
from blend.studies.peers import export, worker
from extract.runtime import process, run_folder
from extract.runtime.errors import InputError, WorkError
from heads.data import arrays, predictions

MODULE = "blend.studies.peers.worker"
LOG = "log.txt"


@dataclass(frozen=True)
class Peer:
    """A peer that can learn here: by which Python, and the version of its library there."""

    name: str
    python: str
    version: str


def find(wanted: Sequence[str], pythons: Sequence[str]) -> list[Peer]:
    """The peers that one of these Pythons has, the first that does; one that none has is said and left out.

    Raises InputError for an unknown peer, and for a Python that cannot be started.
    """
    if unknown := [name for name in wanted if name not in worker.PEERS]:
        raise InputError(f"--peers {unknown[0]}: no such peer; there are {', '.join(worker.PEERS)}")
    installed = {python: _find_installed(python) for python in pythons}
    results = []
    for name in wanted:
        place = next((python for python, versions in installed.items() if name in versions), None)
        if place is None:
            package = worker.PEERS[name][0]
            print(f"{name}: {package} is not installed in {' or '.join(pythons)}: left out", file=sys.stderr)
        else:
            results.append(Peer(name, place, installed[place][name]))
    return results


def _find_installed(python: str) -> dict[str, str]:
    try:
        found: dict[str, str] = _start(python, {"peer": ""}, None)
    except (OSError, WorkError) as error:
        raise InputError(f"--python {python}: cannot be used ({error}); give a Python of 3.11 or later") from error
    return found


def learn(peer: Peer, data: Data, rows: Path, mark: str, seed: int, folder: Path, given: Mapping[str, Any]) -> Path:
    """Let a peer learn from the files in `rows` (fingerprint `mark`) and predict, unless it has; returns its folder,
    with a file of predictions of each part. `given`: "limit" and "presets" of AutoGluon.

    Raises WorkError where its process does.
    """
    about: dict[str, Any] = {"rows": mark, "version": peer.version, "seed": seed, "name": peer.name}
    about["code"] = run_folder.file_hash(Path(worker.__file__))
    about |= given if peer.name == "autogluon" else {}
    whole = run_folder.fingerprint(about)
    if run_folder.is_done(folder, whole):
        return folder
    run_folder.begin(folder)
    job = {"peer": peer.name, "folder": str(rows.resolve()), "out": str(folder.resolve()), "seed": seed, **given}
    told = _start(peer.python, job, folder / LOG)
    results = arrays.read_npz(folder / "scores.npz")
    parts = [part for part in export.PARTS if part in results]
    for part in parts:
        predictions.write(folder / f"{part}.parquet", export.as_predictions(data, part, results[part]))
    run_folder.finish(folder, whole, about | told, [f"{part}.parquet" for part in parts])
    return folder


def read_seconds(folder: Path) -> float:
    """Processor seconds that a peer took to learn."""
    about = run_folder.read_json(folder / "provenance.json", "run the command again")
    return float(about["seconds"])


def _start(python: str, job: Mapping[str, Any], log: Path | None) -> dict[str, Any]:
    """Do a job in a process of this Python, which ends with us; returns what it tells. Raises WorkError, with the end
    of what it wrote, where it does not end well.
    """
    environment = {**os.environ, **process.python_path()}
    pipe = subprocess.PIPE
    with (
        run_folder.log_file(log) if log is not None else tempfile.TemporaryFile() as errors,  # no pipe, which fills
        subprocess.Popen([python, "-m", MODULE], 0, env=environment, stdin=pipe, stdout=pipe, stderr=errors) as child,
    ):
        assert child.stdin is not None and child.stdout is not None
        with suppress(BrokenPipeError):  # it has ended: its code says how
            child.stdin.write(json.dumps(job).encode() + b"\n")
        told = child.stdout.read()
        code = child.wait()  # before its stdin is closed, by which it would be ended
        if log is None:
            errors.seek(0)
        said = (errors.read() if log is None else log.read_bytes()).decode(errors="replace")
    if code:
        last = (said.strip().splitlines() or ["nothing was said"])[-1]
        where = f" (all of it: {log})" if log is not None else ""
        raise WorkError(f"{job['peer'] or 'a process'}: ended with code {code}: {last}{where}")
    results: dict[str, Any] = json.loads(told)
    return results
