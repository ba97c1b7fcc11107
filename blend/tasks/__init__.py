"""What a task is to a blend, by the kind of its labels: arrays alone, no pool and no search.

counted_decisions.py: What kinds share whose decisions are counted: scores are F1.
lookup.py: The tasks of a blend by name, and what is known of each.
multiclass.py: One of the outputs is the frame's class, as expressions are.
multilabel.py: Several outputs may be on in a frame, as action units are.
protocol.py: What every kind of task can do for a blend.
regression.py: The outputs are values in [-1, 1], as valence and arousal are.
"""
