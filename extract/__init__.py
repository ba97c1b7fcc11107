"""Frames -> features: frozen networks over face crops, one file of features per video. Knows no labels."""
