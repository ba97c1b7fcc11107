"""What the blend is worth on videos it has not seen, and which parts are kept for that.

estimate.py: What the search is worth on videos it has not seen.
fold_pools.py: A pool with truth, smoothed once per kernel and k, and counted per fold.
fold_process.py: A second process for the searches inside the folds, begun while the search itself is under way.
interval.py: A 95 % interval for the score of a test set.
outcome.py: Everything that a run finds out on validation: both ways of selecting, and what heads are worth alone.
selection.py: Cross-fitted selection.
solvers.py: Candidates of cross-fitted selection, and what is found for them.
"""
