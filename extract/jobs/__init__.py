"""Jobs, on this machine or on those of a cluster: handed over, watched, recorded.

cluster.py: Jobs on the machines of a cluster: handed over, watched, handed over again, and recorded.
connect.py: The way to a cluster: a scheduler's address or SLURM.
fork_server.py: Jobs with the same heavy imports: a process of Python makes these once, and forks for each job.
job.py: A job: the program that it is, what it needs, and what it claims of workers that say what they have.
local.py: Jobs on this machine: each a process of its own, some side by side. A cluster's worker runs its jobs so, too.
record.py: What ran where on a cluster, how long it took and what failed: `<work>/cluster/<what>.json`.
session.py: Which cluster the steps of this process use, if any: decided once, for all of them.
slurm.py: Batch jobs of SLURM as a cluster's workers.
worker.py: What a cluster's worker does of ours: show that it belongs to the run, and let a job's process run.
"""
