"""Kernels compiled ahead: all that a blend needs, only where it pays, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from blend import compile_kernels, single_task
from blend.config import BlendSettings, Config, RunRequest
from blend.decision import kernels
from extract.runtime.process import ROOT

AHEAD = """
from blend.compile_kernels import compile_ahead
from blend.config import BlendSettings
with compile_ahead({{{name!r}: BlendSettings()}}):
    pass
"""
BLEND = """
from blend import run
run({name!r}, {config!r}, work={work!r}, overrides={{"blend.{name}.folds": 5, "blend.{name}.select_folds": 5}})
"""


def kept_after(code: str, folder: Path) -> dict[str, int]:
    """numba's files, and when they were written, after a program has run."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdin=subprocess.DEVNULL)
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nb[ic]")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_a_blend_finds_all_of_its_kernels_compiled(name: str, few_videos: Path, tmp_path: Path) -> None:
    kept, work = tmp_path / "kept", tmp_path / "work"
    run = BLEND.format(name=name, config=str(few_videos), work=str(work))
    ahead = kept_after(AHEAD.format(name=name), kept)
    blended = kept_after(run, kept)
    assert (work / "blend" / name / "DONE").exists() and len(ahead) > 20
    assert {path: when for path, when in blended.items() if path.startswith("kernels.")} != {}
    assert blended == ahead


def test_a_made_up_pool_is_as_a_real_one() -> None:
    for name in ("au", "expr", "va"):
        pool = compile_kernels.make_pool(name)
        assert pool.scores.shape == (len(pool.heads), pool.offsets[-1], len(pool.task.outputs))
        assert pool.scores.flags.c_contiguous and pool.known_truth.values.dtype == pool.task.dtype


def test_all_is_made_ready_where_no_head_is_there_and_kernels_where_there_are_none(monkeypatch, tmp_path: Path) -> None:
    asked: list[tuple[object, ...]] = []

    def note(*told: object) -> nullcontext[None]:
        asked.append(told)
        return nullcontext()

    monkeypatch.setattr(compile_kernels, "compile_ahead", note)
    monkeypatch.setattr(compile_kernels, "import_ahead", note)
    config = Config.model_validate({"corpus": {"name": "x"}, "blend": {"va": {"trials": 7}}})
    for kept in (True, False):
        monkeypatch.setattr(compile_kernels, "are_compiled", lambda kept=kept: kept)
        with single_task._prepare_ahead(config, [RunRequest(task, tmp_path) for task in ("mtl/va", "au")]):
            pass
    assert asked == [(), (), ({"va": config.blend.va, "au": config.blend.au},)], "once for all tasks"
    asked.clear()
    done = tmp_path / "heads" / "mtl" / "va" / "lama" / "DONE"
    done.parent.mkdir(parents=True)
    done.write_text("")
    with single_task._prepare_ahead(config, [RunRequest("mtl/va", tmp_path)]):
        pass
    assert asked == []
    with single_task._prepare_ahead(config, [RunRequest(task, tmp_path) for task in ("mtl/va", "au")]):
        pass
    assert asked == [(), ({"au": config.blend.au},)]


def test_kernels_of_other_code_do_not_count(monkeypatch, tmp_path: Path) -> None:
    source = tmp_path / "kernels.py"
    source.write_text("")
    monkeypatch.setattr(kernels, "__file__", str(source))
    monkeypatch.setattr(type(kernels.smooth), "stats", type("Stats", (), {"cache_path": str(tmp_path)}))
    assert not compile_kernels.are_compiled()
    (kept := tmp_path / "kernels.smooth_and_count-30.py311.nbi").write_text("")
    assert compile_kernels.are_compiled()
    os.utime(kept, (1, 1))
    assert not compile_kernels.are_compiled()


def test_what_goes_wrong_beside_it_ends_it() -> None:
    with pytest.raises(ZeroDivisionError), compile_kernels.compile_ahead({"au": BlendSettings()}):
        (started,) = (c for c in psutil.Process().children() if "blend.compile_kernels" in c.cmdline())
        raise ZeroDivisionError
    assert not started.is_running()


def imported(seconds_before: float) -> set[str]:
    """What of the list is there where it was begun with, some seconds before the end."""
    code = (
        "import sys, threading; from blend import compile_kernels\n"
        f"with compile_kernels.import_ahead({seconds_before}):\n"
        f"    {seconds_before} or [t.join() for t in threading.enumerate() if t.name == 'import ahead']\n"
        "print(*(name for name in compile_kernels.IMPORTS if name.partition(':')[0] in sys.modules))\n"
        "from numba.core.registry import cpu_target\n"
        "print(*['refreshed'] * bool(cpu_target.target_context._registries))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_what_a_blend_imports_is_imported_unless_bad_input_ends_it_before() -> None:
    assert imported(0) == {*compile_kernels.IMPORTS, "refreshed"} and imported(600) == set()
