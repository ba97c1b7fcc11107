"""Made videos, what a study does with them, and the table of what came of it.

measure.py: Everything that is done on a validation pool, each estimate of it, and what it scores on test pools.
population.py: A made population of videos: truth and the scores of six heads, for `blend.studies.simulate`.
table.py: The simulation's table.
"""
