"""How scores become decisions: the same for validation, test and anybody's video.

combine.py: Blend -> (gaps are filled already) -> smooth -> decide.
fixed_numbers.py: Numbers that [blend.<task>] gives instead of a search, as arrays of a pool's heads and outputs.
kernels.py: The loops of it, and of what a trial counts.
params.py: params.json: a blend, complete enough to apply it anywhere. Written by the search, read back strictly.
smooth.py: Smoothing of dense timelines, never across videos.
"""
