"""Which cluster the steps of this process use, if any: decided once, for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from extract.config import ClusterSettings
from extract.jobs.cluster import LOCAL, Cluster
from extract.runtime.errors import WorkError

SECONDS_UNTIL_VISIBLE = 90.0
"""Shared file systems show other machines' files with a delay: NFS of a directory up to a minute."""
ClusterOption = Annotated[
    str,
    typer.Option(
        "--cluster",
        help="Where the jobs run: local, dask://HOST:PORT (a scheduler), or slurm (as the config's cluster.* says).",
    ),
]
"""The option of commands."""


_current: Cluster | None = None


def current_cluster() -> Cluster | None:
    """The cluster that this run uses; None: this machine alone."""
    return _current


@contextmanager
def use_cluster(place: str, settings: ClusterSettings, work: Path) -> Iterator[None]:
    """Let the steps inside the block use a cluster: "local", "dask://HOST:PORT" or "slurm".

    Raises InputError for any other, for a scheduler that does not answer, for workers that do not belong to the run.
    """
    global _current
    if place == LOCAL:
        yield
        return
    from extract.jobs import connect

    with connect.connect(place, settings, work) as cluster:
        _current = cluster
        try:
            yield
        finally:
            _current = None


def wait_until(seen: Callable[[], bool], path: Path, reason: str = "a worker has finished it") -> None:
    """Wait until this machine sees what another has written. Raises WorkError where it does not come."""
    until = time.monotonic() + SECONDS_UNTIL_VISIBLE
    while not seen():
        if time.monotonic() > until:
            raise WorkError(f"{path}: {reason}, but it is not seen here; is the work folder shared?")
        time.sleep(0.5)
