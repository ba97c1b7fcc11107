"""Thresholds, class biases, scale and shift, from counts of each video; weights by likelihood.

affine.py: Scale and shift of valence and arousal that match the truth's moments.
class_bias.py: Per-class bias of expressions.
mixture.py: Weights of heads by the likelihood of the classes.
threshold.py: The best F1 threshold of each action unit, found exactly by counting.
threshold_rules.py: Thresholds of action units that do not chase noise, from counts of each video's scores.
video_counts.py: Official scores from per-video counts.
"""
