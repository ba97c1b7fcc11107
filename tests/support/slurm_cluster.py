"""A real SLURM cluster of one node on this machine: munged, slurmctld and slurmd from the system's packages."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support.ports import free_ports

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
InactiveLimit=0
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 RealMemory=64000
PartitionName=night Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SECONDS_TO_START = 60.0


def explain_absence() -> str:
    """Why no cluster can be started here; empty where it can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"SLURM is not installed ({', '.join(missing)})"
    return "" if os.geteuid() == 0 else "only root can start SLURM's programs so"


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


class SlurmCluster:
    """One node of 8 cores and 64 GB by its own word, in the partition `night`."""

    def __init__(self, folder: Path) -> None:
        """Start the three programs in `folder`, which must have a short path: sockets lie in it."""
        self.folder = folder
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o755)
        folder.chmod(0o755)
        (folder / "key").write_bytes(secrets.token_bytes(1024))
        (folder / "key").chmod(0o400)
        controller, node = free_ports(2)
        (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, controller=controller, node=node))
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        munge = folder / "munge"
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        self._processes = [
            self._start("munged", "--foreground", "--force", f"--key-file={folder / 'key'}", *options),
        ]
        self._wait(lambda: (munge / "socket").exists(), "munged's socket")
        self._processes += [self._start("slurmctld", "-D"), self._start("slurmd", "-D", "-N", "localhost")]
        self._wait(lambda: self.run("sinfo", "-h", "-o", "%t") == "idle", "an idle node")

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{command[0]}.out", "ab") as out:
            return subprocess.Popen(
                command, env=os.environ | self.environment | {"PATH": _path()}, stdout=out, stderr=out
            )

    def _wait(self, seen: Callable[[], object], what: str) -> None:
        until = time.monotonic() + SECONDS_TO_START
        while not seen():
            said = "\n".join(path.read_text(errors="replace")[-500:] for path in self.folder.glob("*.out"))
            assert time.monotonic() < until, f"{what} did not come: {said}"
            time.sleep(0.1)

    def run(self, *command: str) -> str:
        """What one of SLURM's programs prints; empty where it fails."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def jobs(self, state: str = "") -> list[str]:
        """The numbers of batch jobs that wait or run; with `state` ("R", "PD") only such."""
        lines = [line.split() for line in self.run("squeue", "-h", "-o", "%A %t").splitlines()]
        return [number for number, now in lines if not state or now == state]

    def history(self, number: str) -> str:
        """All that the controller knows of a job, also of one that has ended."""
        return self.run("scontrol", "show", "job", number)

    def close(self) -> None:
        """Cancel what is left and end the programs."""
        self.run("scancel", "--signal=KILL", "--full", *self.jobs())
        self.run("scancel", *self.jobs())
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def start_cluster() -> Iterator[SlurmCluster]:
    """A cluster in a temporary folder, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    cluster = SlurmCluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
