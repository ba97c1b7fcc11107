"""Made videos, what a study does with them, and the table of what came of it.

measure.py: Everything that is done on a validation pool, each estimate of it, and what it scores on test pools.
population.py: A made population of videos: truth and the scores of six heads, for `blend.studies.simulate`.
stacking.py: Stacking, the usual other way to a blend: a linear regression with weights that are not negative.
table.py: The simulation's table.
"""
