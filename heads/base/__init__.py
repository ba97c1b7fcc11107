"""What every head is and shares.

head.py: What every head is: it learns from labelled rows, predicts rows, and can be saved and loaded.
linear.py: Linear maps from columns to outputs, and least squares on rows that are read once.
scaling.py: How columns of different kinds are brought to one scale before a network learns from them.
selection.py: By which score of the dev rows a head chooses its epoch, and how its labels weigh.
spare.py: Imports that no head uses are spared, in processes that do nothing but train.
threads.py: How many threads a head may use.
"""
