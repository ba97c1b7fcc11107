"""Searching a head's settings, in many processes on many machines.

__main__.py: `python -m heads.tune`: search the settings of one head.
plan.py: What `python -m heads.tune` is asked for, made out and checked before anything runs.
processes.py: The processes of a search, here or on a cluster: watched, and replaced when they die.
retry.py: The retry of dead trials: which trials died on the way, and which of them are tried again.
search.py: The search of one head's settings: Optuna over the leaves of its TOML, scored by by-video folds of train.
storage.py: Where a search's trials are kept.
study.py: A search that many processes share and any of them may be killed at: who tries what, and what counts.
trial.py: What one config is worth: by-video folds of train, each predicted by a head that never saw its videos.
worker.py: One process of a search: claim a trial, score its config, keep it, and so on until enough are finished.
"""
