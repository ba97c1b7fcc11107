"""`dashboard`: which storage is meant, what is said without one or without the program, and a real page."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from support.ports import free_ports

from blend import dashboard
from blend.config import BlendSettings
from blend.search import search
from blend.search.journal import TrialJournal
from extract.runtime.errors import InputError, WorkError

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
    with pytest.raises(WorkError, match="pip install optuna-dashboard"):
        dashboard.main(str(study), 8080)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The dashboard of a folder's study, by its address."""
    pytest.importorskip("optuna_dashboard")
    [port] = free_ports(1)
    command = [sys.executable, "-m", "blend.dashboard", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5).close()
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def test_it_serves_the_study_on_this_machine_alone(study: Path) -> None:
    with serving(study) as address, urllib.request.urlopen(f"{address}/api/studies", timeout=5) as answer:
        told = json.load(answer)
    assert [one["study_name"] for one in told["study_summaries"]] == ["of/mine"]


@pytest.mark.slow
def test_its_best_trial_shows_the_numbers_of_the_blend(make_pool: Any, tmp_path: Path, browser: Any) -> None:
    """In Chromium: score, weights, k and thresholds of the tuned blend stand in the card of the best trial."""
    with TrialJournal(tmp_path / "study.db", "made-up", {}) as journal:
        found = search.search(make_pool("au"), BlendSettings(), 40, 0, journal)
    with serving(tmp_path) as address:
        tab = browser.new_page()
        tab.goto(f"{address}/dashboard/studies/1")
        told = tab.get_by_text("Params = [")
        told.wait_for(timeout=60_000)
        text, score = told.inner_text(), float(told.locator("xpath=preceding-sibling::h3").inner_text())
        tab.close()
    shown = dict(pair.split(": ") for pair in text.removeprefix("Params = [").removesuffix("]").split(", "))
    params = found.params
    expected = {"k": params.k} | dict(zip((f"w {head}" for head in params.heads), params.weights, strict=True))
    expected |= dict(zip((f"threshold {name}" for name in params.outputs), params.thresholds or (), strict=True))
    assert shown.pop("kernel") == params.kernel and {name: float(value) for name, value in shown.items()} == expected
    assert score == pytest.approx(found.score, abs=1e-9)
