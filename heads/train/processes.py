"""Runs training jobs side by side, here or on a cluster, behind one progress bar."""

from __future__ import annotations

from collections import Counter
from typing import Any

from extract.features import pipeline
from extract.jobs import job as machine_jobs
from extract.jobs import session
from extract.jobs.job import Needs
from extract.jobs.local import TAIL, LocalMachine, read_log
from extract.runtime import run_folder
from extract.runtime.errors import InputError, WorkError
from extract.runtime.progress import progress
from heads.base import threads
from heads.base.head import FAMILIES, family
from heads.train import cluster_job
from heads.train.job import Job

CORES = pipeline.cores()
AT_ONCE = min(2, CORES)
"""Jobs side by side; they share the cores (heads.base.threads). No head's result depends on how many it gets."""


def run_jobs(jobs: list[Job], title: str) -> None:
    """Run all jobs. After a failure none is started any more, those that run are let finish, and then it is raised.
    On a cluster (extract.jobs.cluster) they run there, and after a failure the others go on.

    Raises InputError where a job found bad input, RuntimeError with the end of its log where one failed otherwise.
    """
    if not jobs:
        return
    heads = {(job.task, job.name): job for job in jobs}
    first = {head: job.list_bags() or [job] for head, job in heads.items()}  # a bagged head itself comes last
    ours = {_name(job): job for its in (*first.values(), jobs) for job in its}
    left = {head: len(its) for head, its in first.items()}
    done = dict.fromkeys(ours, 0)
    failures: list[Exception] = []
    cluster = session.current_cluster()
    several = len({job.task for job in jobs}) > 1

    def advance(name: str, now: int, note: str) -> None:
        job = ours[name]
        bar.advance(max(0, now - done[name]), f"{f'{job.task} ' if several else ''}{job.label}: {note}")
        done[name] = max(done[name], now)

    def hear(sent: machine_jobs.Job, news: dict[str, Any]) -> None:
        if isinstance(part := news.get("done"), int | float):
            advance(sent.name, min(int(100 * part), 99), str(news.get("note", "")))

    def end(sent: machine_jobs.Job, result: dict[str, Any]) -> machine_jobs.Job | None:
        job = ours[sent.name]
        if cluster is not None:
            session.wait_until(lambda: run_folder.is_done(job.folder, job.mark), job.folder)
        elif (error := _failure(job, result["code"])) is not None:
            failures.append(error)
            return None
        advance(sent.name, 100, "done")
        left[job.task, job.name] -= 1
        is_last = job.bag is not None and not left[job.task, job.name] and not failures
        return send(heads[job.task, job.name]) if is_last else None

    def send(job: Job) -> machine_jobs.Job:
        if cluster is not None:
            return cluster_job.send(cluster, _name(job), job)
        return _send(_name(job), job, cores, imports)

    every = [job for its in first.values() for job in its]
    cores, imports = CORES // min(AT_ONCE, len(every)), _shared_imports([*ours.values()])
    with progress(title, total=100 * len(ours), unit="heads", parts=100) as bar:
        if cluster is not None:
            cluster.run(title, [send(job) for job in every], hear, end)
        else:
            # What learns from more networks takes longer: at the end it would have the machine to itself.
            longest = sorted(every, key=lambda job: -len(job.sources))
            sent = (send(job) for job in longest if not failures)
            LocalMachine(AT_ONCE).run(title, sent, hear, end)
    if failures:
        raise next((error for error in failures if isinstance(error, InputError)), failures[0])


def _name(job: Job) -> str:
    """Of no other job: a head's name has no slash."""
    return f"head-{job.task}-{job.label}"


def _shared_imports(jobs: list[Job]) -> dict[str, tuple[str, ...]]:
    """Family -> what its heads import: what all families do, and its own where several heads of it are to be trained;
    nothing where there is only one head.
    """
    counts = Counter(job.family for job in jobs if len(jobs) > 1)
    several = [name for name in FAMILIES if counts[name] > 1 and family(name).imports]
    own = {name: (family(name).__module__, *family(name).imports) for name in several}
    return {name: ("heads.train.job", *own.get(name, ())) for name in counts}


def _send(name: str, job: Job, cores: int, imports: dict[str, tuple[str, ...]]) -> machine_jobs.Job:
    """A job that begins on this machine, in its head's folder."""
    run_folder.begin(job.folder)
    job.write(path := job.folder / "job.json")
    log, environment = job.folder / "log.txt", threads.environment(job.uses_gpu())
    shared = imports.get(job.family, ())
    return machine_jobs.Job(name, "heads.train", (str(path),), log, Needs(cores), environment, imports=shared)


def _failure(job: Job, code: int) -> Exception | None:
    """What to raise for a process that ended, None where the head is there: DONE is the last thing that is written."""
    if run_folder.is_done(job.folder, job.mark):
        return None
    log = job.folder / "log.txt"
    text = read_log(log)
    if code == 2 and (said := [line for line in text if line.startswith("error: ")]):
        return InputError(f"head {job.label}: {said[-1].removeprefix('error: ')}")
    run_folder.refuse_if_full(job.folder)
    end = "\n".join(text[-TAIL:])
    why = (
        f"was ended by signal {-code} (9 is mostly too little memory: raise its stride)"
        if code < 0
        else f"ended with exit code {code}"
    )
    kind = WorkError if code < 0 else RuntimeError
    return kind(f"head {job.label} {why}; the end of its log {log}:\n{end}")
