"""One who reads the README and types its lines into a shell, for tests/system/test_readme.py."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    ".",
    "extract",
    "extract/jobs",
    "extract/learning",
    "heads",
    "heads/tune",
    "blend",
    "blend/predict",
    "blend/studies",
    "configs",
)
READMES = [ROOT / folder / "README.md" for folder in PAGES]
"""All of them: a test says so."""

REPLACEMENTS = {
    "postgresql://tune@db.example/tune": "{server}",
    "postgresql://...": "{server}",
    "head:8786": "127.0.0.1:{port}",
    "--port 8786": "--host 127.0.0.1 --port {port}",
    "/shared/": "{shared}/",
    "/data/ABAW": "{corpus}",
    "--config affwild2.toml": "--config configs/affwild2.toml",
    "blend.run --task au --": "blend.run --task au {short}--",
}
"""All that is changed in a line before it is run: a reader's own server, machine or folder -> what the test made."""
SHORT = "--set 'blend.au={trials=12, draws=100, folds=2, select_folds=2}' "
"""How searches end sooner; the main job's search is run to its end by .ci/run and tests/system/test_end_to_end.py."""


class Reader:
    """A folder with the reader's files, in which lines are run as a shell does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {"shared": str(folder / "shared"), "corpus": str(folder / "runs" / "demo" / "corpus")}
        self.names["short"] = "" if os.environ.get("AFFECT_HEADS_README") == "all" else SHORT
        self.count = 0

    def start(self, line: str) -> "subprocess.Popen[str]":
        for theirs, ours in REPLACEMENTS.items():
            if theirs in line:
                line = line.replace(theirs, ours.format(**self.names))
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "AFFECT_HEADS_CACHE": str(self.folder / "cache"),
        }
        command, self.count = ["bash", "-euo", "pipefail", "-c", line], self.count + 1
        with open(self.folder / f"said-{self.count}.txt", "wb") as said:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=said, stderr=said, start_new_session=True, text=True
            )

    def run(self, line: str) -> None:
        """To its end, which must be good."""
        code = self.until(self.start(line), lambda: False)
        assert code == 0, f"{line}: {self.read_output()}"

    def read_output(self) -> str:
        """The end of what the last command wrote."""
        return (self.folder / f"said-{self.count}.txt").read_text()[-3000:]

    @contextlib.contextmanager
    def serving(self, lines: list[str]) -> Iterator[None]:
        processes = [self.start(line) for line in lines]
        try:
            yield
        finally:
            for process in reversed(processes):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()

    def until(self, process: "subprocess.Popen[str]", seen: Callable[[], bool], end: int = 0) -> int:
        """Wait for the end, or send the signal `end` once something is seen; returns the exit code."""
        try:
            while process.poll() is None and not seen():
                time.sleep(0.05)
            if end:
                assert process.poll() is None, self.read_output()
                process.send_signal(end)
            return process.wait()
        finally:
            if process.poll() is None:  # the test itself was interrupted
                os.killpg(process.pid, signal.SIGKILL)
