from __future__ import annotations

import importlib.util
import types

import pytest

from extract.config import ClusterSettings
from extract.jobs import connect, session
from extract.runtime.errors import InputError

pytest.importorskip("distributed")
SETTINGS = ClusterSettings()


@pytest.mark.parametrize(
    ("where", "host"),
    [
        ("dask://head:8786", "head"),
        ("dask://10.0.0.1:1", "10.0.0.1"),
        ("dask://[fe80::1]:8786", "[fe80::1]"),
        ("dask://head", None),
        ("dask://:8786", None),
        ("tcp://head:8786", None),
        ("dask://head:8786/x", None),
    ],
)
def test_an_address_is_a_host_and_a_port(where, host):
    match = connect.DASK.fullmatch(where)
    assert (match and match["host"]) == host


@pytest.mark.parametrize("where", ["dask://head", "pbs", "", "Local"])
def test_anything_else_is_refused_with_what_there_is(where, tmp_path):
    said = f"^--cluster {where}: expected local, dask://HOST:PORT or slurm$"
    with pytest.raises(InputError, match=said), session.use_cluster(where, SETTINGS, tmp_path):
        pytest.fail("it was let in")


def test_local_is_no_cluster(tmp_path):
    with session.use_cluster("local", SETTINGS, tmp_path):
        assert session.current_cluster() is None
    assert not list(tmp_path.iterdir())


def test_without_the_packages_it_says_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else find(name))
    with (
        pytest.raises(InputError, match=r"needs distributed: pip install 'affect-heads\[cluster\]'"),
        session.use_cluster("dask://head:1", SETTINGS, tmp_path),
    ):
        pytest.fail("it was let in")


def test_no_scheduler_and_no_workers_are_one_line_each_with_what_to_start(machines, tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "SECONDS_TO_CONNECT", 0.5)
    with (
        pytest.raises(InputError, match=r"no scheduler answers; start one: dask scheduler --port 9$"),
        session.use_cluster("dask://127.0.0.1:9", SETTINGS, tmp_path),
    ):
        pytest.fail("it was let in")
    monkeypatch.undo()
    monkeypatch.setattr(connect, "SECONDS_FOR_WORKERS", 0.5)
    with machines(tmp_path) as some:
        address = some.where.removeprefix("dask://")
        with (
            pytest.raises(InputError, match=rf"has no workers; start some with: dask worker {address}$"),
            session.use_cluster(some.where, SETTINGS, tmp_path / "work"),
        ):
            pytest.fail("it was let in")
    assert session.current_cluster() is None and not list((tmp_path / "work").glob(".cluster-*"))


def test_a_worker_that_is_lost_while_it_is_looked_at_is_no_bad_input():
    from distributed.comm import CommClosedError

    answers = {"tcp://a": "", "tcp://b": CommClosedError("Stream is closed")}
    workers = {address: {"name": address[-1]} for address in (*answers, "tcp://c")}
    client = types.SimpleNamespace(
        run=lambda *_, **__: answers, scheduler_info=lambda n_workers: {"workers": workers if n_workers == -1 else {}}
    )
    connect._check(client, "slurm", {})
    answers["tcp://c"] = "it has another numpy"
    with pytest.raises(InputError, match=r"^--cluster slurm: worker c \(tcp://c\): it has another numpy$"):
        connect._check(client, "slurm", {})
    answers["tcp://c"] = ValueError("odd")
    with pytest.raises(InputError, match=r"worker c \(tcp://c\): odd$"):
        connect._check(client, "slurm", {})
