"""The way to a cluster: a scheduler's address or SLURM, and a look at every worker before anything runs there."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.config import ClusterSettings
from extract.jobs import worker as cluster_worker
from extract.jobs.cluster import LOCAL, Cluster
from extract.runtime import run_folder
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

    from extract.jobs.slurm import Batch

DASK = re.compile(r"dask://(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/]+):(?P<port>\d+)")
SECONDS_TO_CONNECT = 15
SECONDS_FOR_WORKERS = 60.0
MAX_NAMES = 3
"""Refused workers that are named."""


@contextmanager
def connect(place: str, settings: ClusterSettings, work: Path) -> Iterator[Cluster]:
    """The cluster at `place`, its workers looked at. Raises InputError as `extract.jobs.session.use_cluster` does."""
    match = DASK.fullmatch(place)
    if not match and place != "slurm":
        raise InputError(f"--cluster {place}: expected {LOCAL}, dask://HOST:PORT or slurm")
    _need("distributed")
    from distributed import Client

    for name in (*logging.root.manager.loggerDict, "asyncio"):
        if name.startswith(("distributed", "tornado", "asyncio")):  # what is lost is told of in our words
            logging.getLogger(name).setLevel(logging.CRITICAL)
    batch: Batch | None = None
    try:
        if match:
            address = f"tcp://{match['host']}:{match['port']}"
            try:
                client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
            except (OSError, TimeoutError) as error:
                raise InputError(
                    f"--cluster {place}: no scheduler answers; start one: dask scheduler --port {match['port']}"
                ) from error
        else:
            _need("dask_jobqueue")
            from extract.jobs.slurm import Batch

            batch = Batch(settings, work)
            client = Client(batch.cluster, set_as_default=False)
        with client, _token(work) as expected:
            _wait(client, place, batch)
            _check(client, place, expected)
            yield Cluster(client, place, settings, work, expected, batch.keep if batch is not None else lambda: None)
    finally:
        if batch is not None:
            batch.close()


def _need(module: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise InputError(f"--cluster needs {module}: pip install 'affect-heads[cluster]'")


@contextmanager
def _token(work: Path) -> Iterator[dict[str, Any]]:
    """A file in the work folder that every worker must see, and what else must be the same there."""
    secret = secrets.token_hex(8)
    path = work.resolve() / f".cluster-{secret}"
    run_folder.write_text(path, secret)
    try:
        yield {"facts": cluster_worker.facts(), "token": str(path), "secret": secret}
    finally:
        path.unlink(missing_ok=True)


def _wait(client: Client, where: str, batch: Batch | None) -> None:
    """Wait for the first worker; a batch system may take its time."""
    began, said = time.monotonic(), False
    while not client.nthreads():
        if batch is not None:
            batch.keep()
        elif time.monotonic() - began > SECONDS_FOR_WORKERS:
            raise InputError(
                f"--cluster {where}: the scheduler has no workers; start some with: dask worker {where.split('//')[-1]}"
            )
        if not said:
            more = f"; their own output goes to {batch.logs}" if batch is not None else ""
            print(f"waiting for workers of {where}{more}", file=sys.stderr)
            said = True
        time.sleep(0.5)


def _check(client: Client, where: str, expected: dict[str, Any]) -> None:
    """Raise InputError unless every worker has the project as it is here and sees the work folder.

    One that is lost while it is looked at is none: whatever takes its place is looked at by its first job.
    """

    def look(expected: dict[str, Any]) -> str:  # sent by value: a worker may not have the project at all
        try:
            from extract.jobs import worker as cluster_worker
        except ImportError as error:
            return f"it cannot import the project ({error}); install the same version there"
        return str(cluster_worker.find_difference(expected))

    answers = client.run(look, expected, on_error="return")
    results = {address: said for address, said in answers.items() if not isinstance(said, OSError)}
    names = {address: worker["name"] for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()}
    refused = [f"worker {names.get(address, address)} ({address}): {said}" for address, said in results.items() if said]
    if refused:
        more = f"; and {len(refused) - MAX_NAMES} more" if len(refused) > MAX_NAMES else ""
        raise InputError(f"--cluster {where}: {'; '.join(refused[:MAX_NAMES])}{more}")
