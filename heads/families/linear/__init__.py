"""The linear family: logistic and ridge regression on standardised blocks of columns.

head.py: The linear family: scikit-learn's logistic regression for expr and au, ridge for va, and their penalty.
sample.py: The rows that are learnt from: in memory, thinned, standardised, each block at its scale, in by-video folds.
solvers.py: One regression after the other, from the strongest penalty to the weakest, each begun at the one before.
"""
