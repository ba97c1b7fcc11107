"""The challenge's facts: tasks, official files and scores. Knows no head.

annotations.py: Official annotation files.
class_folders.py: Annotations of single pictures: each lies in the folder of its class.
metrics.py: The official scores as pure functions on arrays. No other dependency than numpy, no state.
multitask.py: The annotation file of the multi-task challenge (s-Aff-Wild2).
read.py: All annotations of one task: a folder of files, the multi-task challenge's one file, or folders by class.
tasks.py: The tasks as frozen facts.
test_list.py: The official test list: which frames of which videos are graded, in which order.
"""
