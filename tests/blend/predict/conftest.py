"""Blends of every task on the demo's network, learnt from few videos."""

from pathlib import Path

import pytest

from heads.abaw.tasks import TASKS


@pytest.fixture(scope="session")
def work(few_blends: Path) -> Path:
    """A work folder with a blend of every task."""
    return few_blends


@pytest.fixture(scope="session")
def blends(work: Path) -> list[Path]:
    """The blends' folders: au, expr, va."""
    return [work / "blend" / task for task in TASKS]


@pytest.fixture(scope="session")
def crops(few_videos: Path) -> Path:
    """The face crops of a test video, 00001.jpg, ..."""
    return few_videos.parent / "frames" / "demo-24"
