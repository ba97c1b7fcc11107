"""`dashboard`: which storage is meant, what is said without one or without the program, and a real page."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import optuna
import pytest
from support.ports import free_ports

from blend import dashboard
from extract.runtime.errors import Failed, InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with a study of three trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="of/mine")
    made.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return tmp_path


def test_a_folder_its_file_and_a_url_are_the_study_that_is_meant(study: Path) -> None:
    expected = f"sqlite:///{study / 'study.db'}"
    assert dashboard.storage_of(str(study)) == dashboard.storage_of(str(study / "study.db")) == expected
    assert dashboard.storage_of("postgresql://me@host/searches") == "postgresql://me@host/searches"


def test_what_is_no_database_or_a_damaged_one_is_one_line(study: Path) -> None:
    whole = (study / "study.db").read_bytes()
    for content in (b"", b"x" * 5000, whole[:5000], whole[:100] + bytes(len(whole) - 100)):
        (study / "study.db").write_bytes(content)
        with pytest.raises(InputError, match=r"study") as raised:
            dashboard.main(str(study), 1)
        assert str(study) in str(raised.value) and "\n" not in str(raised.value)


def test_a_port_that_is_taken_is_one_line(study: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"another program answers there; give another --port"):
            dashboard.main(str(study), taken.getsockname()[1])


@pytest.mark.parametrize("given", ["nowhere", ".", "mysql://host/x"])
def test_what_is_no_study_is_one_line(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        dashboard.storage_of(given)


def test_without_the_program_it_says_how_to_install_it(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    with pytest.raises(Failed, match="pip install optuna-dashboard"):
        dashboard.main(str(study), 8080)


def test_it_serves_the_study_on_this_machine_alone(study: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    [port] = free_ports(1)
    command = [sys.executable, "-m", "blend.dashboard", str(study), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5) as answer:
                    told = json.load(answer)
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        names = [one["study_name"] for one in told["study_summaries"]]
        assert names == ["of/mine"]
    finally:
        process.kill()
        process.communicate()
