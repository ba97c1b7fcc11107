"""Blends of every task on the demo's network, learnt from few videos."""

from pathlib import Path

import pytest

from blend import run
from blend.config import Config
from extract import config as configs
from heads.abaw.tasks import TASKS


@pytest.fixture(scope="session")
def work(few_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a blend of every task."""
    folder = tmp_path_factory.mktemp("work")
    for task in TASKS:
        run.main(configs.load(Config, few_videos), task, folder)
    return folder


@pytest.fixture(scope="session")
def blends(work: Path) -> list[Path]:
    """The blends' folders: au, expr, va."""
    return [work / "blend" / task for task in TASKS]


@pytest.fixture(scope="session")
def crops(few_videos: Path) -> Path:
    """The face crops of a test video, 00001.jpg, ..."""
    return few_videos.parent / "frames" / "demo-24"
