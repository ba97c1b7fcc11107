"""One published blend of each kind on the demo's heads, under the names that the published configs give theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import command_server
from support.sweeps import sweep

from extract import config as configs
from extract.demo import corpus

FOLDER = configs.CONFIGS / "paper" / "blends"
HEADS = {"au": ("mlp-demo_enet", "mlp-demo_mt_enet"), "expr": ("mlp-demo_enet", "pretrained-demo_enet"),
         "va": ("mlp-demo_enet", "mlp-demo_mt_enet")}  # fmt: skip
KINDS = {
    "va_emoti_mt_smooth": "weights and k as published",
    "au_emoti_mt_smooth": "weights, k and twelve thresholds as published",
    "au_emoti_mt": "a weight from the grid, thresholds tuned",
    "expr_emoti_mlp_logits_smooth": "a weight and k from the grid",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return command_server.run([sys.executable, "-m", "blend.run", *arguments], charts=False)


@pytest.mark.parametrize("name", sweep(KINDS, ["au_emoti_mt_smooth"]), ids=KINDS.values())
def test_one_of_each_kind_runs_on_the_demo(demo: Path, tmp_path: Path, name: str):
    task = name.partition("_")[0]
    if not (demo / "blend" / task / "DONE").exists():
        done = run("--task", task, "--work", str(demo))
        assert done.returncode == 0, done.stderr
    from blend.config import Config

    paths = corpus.paths(demo / "corpus")[task]
    told = f"{{val={str(paths['val'])!r},test={str(paths['test'])!r}}}"
    config = FOLDER / f"{name}.toml"
    settings = getattr(configs.load(Config, config).blend, task)
    theirs = sorted(settings.weights) if settings.weights is not None else ["one", "other"]
    given = [
        f"--predictions={head}={demo / 'heads' / task / ours}" for head, ours in zip(theirs, HEADS[task], strict=True)
    ]
    sets = [f"--set={one}" for one in (f"corpus.{task}={told}", "corpus.frames=[]", f"blend.{task}.draws=100")]
    done = run(
        "--task", task, "--config", str(config), "--work", str(tmp_path / "work"), "--heads", "none", *given, *sets
    )
    assert done.returncode == 0, done.stderr
    params = json.loads((tmp_path / "work" / "blend" / task / "params.json").read_text())
    assert set(params["weights"]) == set(theirs) and sum(params["weights"].values()) == pytest.approx(1)
    if settings.weights is not None:
        assert params["weights"] == settings.weights and params["k"] == settings.k
    if isinstance(settings.thresholds, list):
        assert params["thresholds"] == settings.thresholds
    lines = (tmp_path / "work" / "blend" / task / "submission.txt").read_text().splitlines()
    assert len(lines) == len(Path(paths["test"]).read_text().splitlines())
