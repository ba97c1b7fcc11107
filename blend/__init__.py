"""Predictions -> submission: the search for weights, smoothing and thresholds, and its honest report."""
