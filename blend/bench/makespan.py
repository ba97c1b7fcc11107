"""Simulated time of work on many nodes: jobs, slots, one shared disk, stragglers and failures as events.

Jobs wait in one queue in the order in which they are given, and a slot that is free takes the next: as on the cluster
of `extract.jobs`, no slot waits for another, and a stage begins when the one before has ended. A job reads its pictures
piece by piece through the shared disk, the next piece while it works on this one. A node that fails loses its jobs,
which go back to the head of the queue when that is noticed, and works again when it is repaired.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import simpy

PIECES = 8
"""In so many a job works: how busy its node is counts from piece to piece. The first piece's pictures are waited for,
the others are read while it works.
"""
SECONDS_UNTIL_NOTICE = 30.0
"""A lost worker is missed by its heartbeats: this long after it is gone, its jobs are given to others."""


@dataclass(frozen=True)
class Task:
    """One job of a stage: its start, its processor time on an undisturbed slot, and what it reads."""

    seconds: float
    """Of work on a slot of a node that is otherwise idle."""
    start: float = 0.0
    """Seconds until the work begins: the process and its imports."""
    frames: int = 0
    """What it reads piece by piece; 0: nothing is read while it works."""


@dataclass(frozen=True)
class Stage:
    """Jobs that may run at the same time, in the order of the queue; the next stage waits for all of them."""

    name: str
    tasks: Sequence[Task]
    threads: int = 1
    """Of each job: a node of C cores has C // threads slots, at least one."""


@dataclass(frozen=True)
class Machines:
    """The nodes and the disk that they share."""

    nodes: int
    cores: int = 2
    """Of each node."""
    slowdown: float = 1.0
    """How much longer work takes where all slots of a node are busy than where one is; at least 1."""
    disk: float = np.inf
    """Bytes that the shared disk gives per second, to all nodes together."""
    frame: float = 0.0
    """Bytes of a frame's picture."""


@dataclass(frozen=True)
class Disturbances:
    """What goes wrong, drawn by a seed."""

    spread: float = 0.0
    """Standard deviation of the logarithm of the nodes' speed."""
    stragglers: float = 0.0
    """Probability that a node has half its speed."""
    failures: float = 0.0
    """Per node and hour."""
    repair: float = 600.0
    """Seconds until a node that failed works again."""


@dataclass
class Makespan:
    """What a simulated run took."""

    seconds: float
    """From the start until the last job has ended."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage."""
    lost_jobs: int = 0
    """Jobs that a failing node took along, and that began again."""


class _Cluster:
    """The simulated cluster: its queue, its nodes' speeds, its disk and its clock."""

    def __init__(self, machines: Machines, disturbances: Disturbances, seed: int) -> None:
        """Draw the nodes' speeds."""
        import simpy

        self.machines, self.disturbances = machines, disturbances
        self.clock = simpy.Environment()
        self.disk = simpy.Resource(self.clock, 1)
        self.rng = np.random.default_rng(seed)
        speed = np.exp(self.rng.normal(0, 1, machines.nodes) * disturbances.spread)
        self.speed = np.where(self.rng.random(machines.nodes) < disturbances.stragglers, speed / 2, speed)
        self.busy = np.zeros(machines.nodes, int)
        self.lost = 0

    def run(self, stage: Stage) -> float:
        """Let all jobs of a stage end. Returns the seconds that it took."""
        began = self.clock.now
        self.queue, self.left = deque(stage.tasks), len(stage.tasks)
        self.ended, self.wake = self.clock.event(), self.clock.event()
        slots = max(1, self.machines.cores // stage.threads)
        nodes = [
            [self.clock.process(self._slot(node, slots)) for _ in range(slots)] for node in range(self.machines.nodes)
        ]
        failing = [self.clock.process(self._fail(node)) for node in nodes if self.disturbances.failures]
        if stage.tasks:
            self.clock.run(until=self.ended)
        for process in (*failing, *(slot for node in nodes for slot in node)):
            if process.is_alive:
                process.interrupt("over")
        return float(self.clock.now - began)

    def _slot(self, node: int, slots: int) -> Generator[simpy.Event, Any, None]:
        """Take the next job as long as there are any; a failure interrupts, the stage's end ends it."""
        import simpy

        while True:
            task = None
            try:
                while not self.queue:
                    yield self.wake
                task = self.queue.popleft()
                self.busy[node] += 1
                yield from self._work(task, node, slots)
                self.busy[node] -= 1
                self.left -= 1
                if not self.left:
                    self.ended.succeed()
            except simpy.Interrupt as failure:
                if task is not None:
                    self.busy[node] -= 1
                if failure.cause == "over":
                    return
                if task is not None:
                    self.lost += 1
                    self.clock.process(self._give_back(task))
                try:
                    yield self.clock.timeout(self.disturbances.repair)
                except simpy.Interrupt:  # the stage has ended: a node that is repaired does not fail
                    return

    def _give_back(self, task: Task) -> Generator[simpy.Event, Any, None]:
        """Put a lost job at the head of the queue when it is missed, and wake the slots that wait."""
        yield self.clock.timeout(SECONDS_UNTIL_NOTICE)
        self.queue.appendleft(task)
        wake, self.wake = self.wake, self.clock.event()
        wake.succeed()

    def _work(self, task: Task, node: int, slots: int) -> Generator[simpy.Event, Any, None]:
        """A job's start, then its work in pieces; the next piece is read meanwhile."""
        yield self.clock.timeout(task.start * self._slower(node, slots) / self.speed[node])
        reads = task.frames * self.machines.frame / self.machines.disk
        read = self.clock.process(self._read(reads / PIECES))
        for left in reversed(range(PIECES)):
            yield read
            if left and reads:
                read = self.clock.process(self._read(reads / PIECES))
            yield self.clock.timeout(task.seconds / PIECES * self._slower(node, slots) / self.speed[node])

    def _slower(self, node: int, slots: int) -> float:
        """How much longer work takes beside the node's busy slots: 1 where this one is alone."""
        return 1 + (self.machines.slowdown - 1) * (self.busy[node] - 1) / max(1, slots - 1)

    def _read(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Wait for the disk, which serves one request at a time, and read."""
        if seconds:
            with self.disk.request() as turn:
                yield turn
                yield self.clock.timeout(seconds)

    def _fail(self, slots: list[simpy.Process]) -> Generator[simpy.Event, Any, None]:
        """A node fails now and then, with all its slots."""
        import simpy

        try:
            while True:
                yield self.clock.timeout(self.rng.exponential(3600 / self.disturbances.failures))
                for slot in slots:
                    slot.interrupt("failure")
                yield self.clock.timeout(self.disturbances.repair)
        except simpy.Interrupt:
            return


def simulate(stages: Sequence[Stage], machines: Machines, disturbances: Disturbances, seed: int = 0) -> Makespan:
    """The makespan of stages that come one after the other; the same seed gives the same numbers."""
    cluster = _Cluster(machines, disturbances, seed)
    took = {stage.name: cluster.run(stage) for stage in stages}
    return Makespan(sum(took.values()), took, cluster.lost)
