"""What predictions of test say without labels.

agreement.py: How well two sets of scores of the same frames agree.
compare.py: What the unlabelled test says of a blend before it is handed in.
faults.py: Faults in predictions of test that no label is needed for: what agrees better when it is put differently.
shares.py: Is test like validation? Shares, means, spreads and certainty of what is decided, by draws of videos.
"""
