"""The search for the blend, in one process or many.

grid.py: A search as published blends were made: weights in steps of 0.1, and some widths, every one of them tried.
journal.py: Every trial on disk: an Optuna study in SQLite, so that a search that was killed goes on where it was.
objective.py: What a trial costs: the official score on validation of given weights.
pattern_search.py: Local refinement of a found blend: small steps of one thing at a time, kept where the score rises.
processes.py: The processes of a shared search, here or on a cluster: started, watched, replaced when they die.
search.py: The search: Optuna over blend weights, kernel, k and whatever else is switched on.
shared_search.py: A search drawn by several processes.
shared_study.py: One search that several processes share, on one machine (SQLite) or many (PostgreSQL).
space.py: The search space of [blend.<task>] as Optuna sees it, and the points in it.
worker.py: One process of a shared search: draw and score trials, hand them over, and so on until enough are finished.
"""
