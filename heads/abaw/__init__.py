"""The challenge's facts: tasks, official files and scores. Knows no head.

annotations.py: Official annotation files.
metrics.py: The official scores as pure functions on arrays. No other dependency than numpy, no state.
multitask.py: The annotation file of the multi-task challenge (s-Aff-Wild2).
read.py: All annotations of one task: a folder of official files, or the multi-task challenge's one file.
tasks.py: The three tasks as frozen facts.
test_list.py: The official test list: which frames of which videos are graded, in which order.
"""
