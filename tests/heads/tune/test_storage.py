from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
import sqlalchemy

from extract.runtime.errors import InputError, WorkError
from heads.tune import storage as tune_storage


def test_a_file_is_made_whole_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "odd ?{name" / "study.db"
    storage, _ = tune_storage.open_sqlite(path, 15)
    assert storage.get_all_studies() == []
    tune_storage.close(storage)
    tune_storage.close(tune_storage.open_sqlite(path, 15)[0])
    assert [p.name for p in path.parent.iterdir()] == ["study.db"]


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("no database, but long enough to be taken for one" * 10)
    with pytest.raises(InputError, match=r"study\.db: not a readable study \(.*\); move the file away"):
        tune_storage.open_sqlite(path, 15)
    with pytest.raises(InputError, match="cannot be written"):
        tune_storage.open_sqlite(path / "below" / "study.db", 15)


def test_one_holds_the_guard_at_a_time(tmp_path: Path) -> None:
    _, guard = tune_storage.open_sqlite(tmp_path / "study.db", 15)
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with guard():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize("url", ["mysql://u@h/d", "sqlite:///x.db", "no url", ""])
def test_only_postgresql_is_taken_as_a_server(url: str) -> None:
    with pytest.raises(InputError, match=r"--storage: .*postgresql://user@host/database"):
        tune_storage.parse(url)


def test_the_driver_is_chosen_unless_named() -> None:
    assert tune_storage.parse("postgresql://u@h/d").drivername == "postgresql+psycopg"
    assert tune_storage.parse("postgres://u@h/d").drivername == "postgresql+psycopg"
    assert tune_storage.parse("postgresql+pg8000://u@h/d").drivername == "postgresql+pg8000"


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_engine(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(sqlalchemy, "create_engine", create_engine)
    with pytest.raises(InputError, match=r"pip install 'affect-heads\[postgresql\]'"):
        tune_storage.open_postgresql(tune_storage.parse("postgresql://u@h/d"), "s", 15)


def test_patience_outlasts_a_short_absence_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_storage.time, "sleep", lambda _: None)
    calls = 0

    def comes_back() -> str:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("the server is starting up"))
        return "here"

    def stays_away() -> None:
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("gone"))

    def bug() -> None:
        raise ValueError("not the storage's fault")

    assert tune_storage.retry_call(comes_back) == "here" and calls == 4
    with pytest.raises(WorkError, match=r"does not answer: .*gone"):
        tune_storage.retry_call(stays_away, seconds=0.05)
    with pytest.raises(ValueError, match="fault"):
        tune_storage.retry_call(bug)


@pytest.mark.parametrize("storage", ["postgresql://u@h:abc/x", "postgresql://u:p@[::1/x", "x"])
def test_what_is_no_url_is_refused_without_its_password(storage: str) -> None:
    with pytest.raises(
        InputError, match=r"^--storage: expected postgresql://user@host/database, or \.\.\.@host:port/\.\.\.$"
    ):
        tune_storage.parse(storage)


@pytest.mark.parametrize("url", ["postgresql+nodriver://u@h/d", "postgresql://u:secret@h/d?port=x"])
def test_a_driver_or_port_that_does_not_exist_is_one_line(url: str) -> None:
    with pytest.raises(InputError, match=r"--storage postgresql\+\w+://u.*: ") as raised:
        tune_storage.open_postgresql(tune_storage.parse(url), "s", 15)
    assert "secret" not in str(raised.value)


def test_no_half_made_file_is_left_where_it_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(place: Path, heartbeat: int) -> None:
        place.write_bytes(b"half")
        place.with_name(f"{place.name}-journal").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tune_storage, "_sqlite", fails)
    with pytest.raises(InputError, match=r"study\.db: cannot be written \(No space left on device\)"):
        tune_storage.open_sqlite(tmp_path / "study.db", 15)
    assert list(tmp_path.iterdir()) == []
