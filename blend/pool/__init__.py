"""Predictions of all heads, on one timeline, with the truth where it is known.

duplicates.py: Heads that are copies of another: they are no second opinion, and are searched as one.
external.py: Other people's predictions: `--predictions NAME=FOLDER`, as Parquet, CSV, or official submission text.
gap_filling.py: Sparse predictions -> one dense timeline per video.
inputs.py: What a blend is made of.
networks.py: networks.json of a blend: the networks that its heads read, for videos that come later.
pool.py: Everything the blend works on, as arrays.
provenance.py: What decides a blend, for provenance.json, hashed from just what is read of it.
"""
