"""One head, from its inputs to its finished folder.

__main__.py: `python -m heads.train JOB.json`: one head in a process of its own, which ends with its parent.
bags.py: Models of one head that each lack a fold of train; what they predict is their mean.
causal.py: A head on a video that is still being made: each frame as if the video ended with it.
cluster_job.py: Heads on a cluster: each is a job, done by one process at a time wherever it runs.
fit.py: From a work folder to what a head learns from.
job.py: One head in a process of its own: read a job, train, predict validation and test, write the head's folder.
model.py: A fitted head with all that it needs to predict new videos.
out_of_fold.py: Out-of-fold predictions of train: every frame predicted by a head that learnt from other recordings.
processes.py: Runs training jobs side by side, here or on a cluster, behind one progress bar.
provenance.py: What a head is made from, by hashes: of the data, taken before it is read, and of the code.
"""
