"""SLURM as far as it goes without one: the script, and a node on which batch jobs end at once while another works.

`tests/system/test_slurm.py` has a real SLURM.
"""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import pytest

from extract.config import ClusterSettings
from extract.jobs import slurm as cluster_slurm
from extract.runtime.errors import InputError

pytest.importorskip("dask_jobqueue")

ROOT = Path(__file__).parents[3]
SBATCH = """#!/bin/sh
# the batch job: its script in a session of its own, its output where the script says
cd {folder}
number=$$
cp "$1" job.$number
output=$(sed -n 's/^#SBATCH -o //p' "$1" | sed "s/%J/$number/")
setsid sh job.$number > "$output" 2>&1 < /dev/null &
echo $! > .pid.$number && mv .pid.$number pid.$number
echo "Submitted batch job $number"
"""
SCANCEL = """#!/bin/sh
cd {folder}
kill -TERM -- -"$(cat pid.$1)"
"""
SQUEUE = """#!/bin/sh
cd {folder}
for file in pid.*; do kill -0 -- -"$(cat $file)" 2>/dev/null && echo "${{file#pid.}}"; done
exit 0
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder in which sbatch and scancel keep what they were asked for."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL), ("squeue", SQUEUE)):
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    yield folder
    for group in running(folder).values():
        os.killpg(group, signal.SIGKILL)


def running(folder: Path) -> dict[str, int]:
    """The batch jobs of which anything is left: their numbers and process groups."""
    found = {}
    for path in folder.glob("pid.*"):
        try:
            os.killpg(group := int(path.read_text()), 0)
            found[path.suffix[1:]] = group
        except ProcessLookupError:
            continue
    return found


def test_what_slurm_is_asked_for_is_what_the_config_says(tmp_path):
    wanted = ClusterSettings(
        queue="short",
        account="lab",
        cores=8,
        memory="32GB",
        walltime="02:00:00",
        gpus=2,
        job_script_prologue=["source /shared/venv/bin/activate"],
    )
    batch = cluster_slurm.Batch(wanted, tmp_path)
    script = batch.cluster.job_script()
    batch.close()
    for line in ("-p short", "-A lab", "--cpus-per-task=8", "--mem=30G", "-t 02:00:00", "--gpus=2"):
        assert f"#SBATCH {line}\n" in script, script
    assert f"#SBATCH -o {tmp_path}/cluster/slurm/" in script
    prologue, worker = script.index("source /shared/venv/bin/activate"), script.index("distributed.cli.dask_worker")
    assert prologue < worker and "--nthreads 8" in script
    assert "--resources 'THREADS=8 MEMORY=32000000000 GPU=2'" in script


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"memory": "much"}, r"cluster\.memory: 'much' is no size"), ({"interface": "ib99"}, r"\[cluster\]: .*ib99")],
)
def test_settings_that_cannot_be_are_one_line(setting, said, tmp_path):
    with pytest.raises(InputError, match=said):
        cluster_slurm.Batch(ClusterSettings(**setting), tmp_path)


def test_a_node_on_which_batch_jobs_end_at_once_is_not_asked_for_ever_while_others_work(
    slurm, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(cluster_slurm, "SECONDS_BETWEEN_LOOKS", 0.0)
    wanted = ClusterSettings(
        interface="lo", nodes=2, memory="1GB", job_script_prologue=[f"mkdir {slurm}/good || exit 1"]
    )
    batch = cluster_slurm.Batch(wanted, tmp_path)
    try:
        with monkeypatch.context() as patient:  # the good one's worker takes some seconds to come
            patient.setattr(cluster_slurm, "SECONDS_BETWEEN_LOOKS", math.inf)
            until = time.monotonic() + 120
            while not batch.cluster.scheduler_info["workers"] or len([*slurm.glob("pid.*")]) < 2:
                assert time.monotonic() < until
                batch.keep()
                time.sleep(0.1)
        for _ in range(30):
            batch.keep()
            while len(running(slurm)) > 1:  # those that end at once
                time.sleep(0.02)
            batch.cluster.sync(settled, batch.cluster)
        assert len(list(slurm.glob("job.*"))) == 4, "the good one, and three that ended at once"
        assert len(running(slurm)) == 1 and len(batch.cluster.scheduler_info["workers"]) == 1
        [name] = {worker["name"] for worker in batch.cluster.scheduler_info["workers"].values()}
        assert [*batch.cluster.workers] == [name]
    finally:
        batch.close()
    said = capfd.readouterr().err
    assert said.count("warning: 3 batch jobs ended before their workers came, and no more are asked for") == 1


async def settled(batch) -> None:
    """Dask's own thread has submitted what was asked for."""
    await batch
