"""Rows of features with their labels, splits of videos, and prediction files.

arrays.py: A model's arrays, read from files that may be somebody else's: numbers alone, all finite.
feature_file.py: One video's feature file as heads read it: no more of it than is wanted, and checked.
float16.py: float16 rows as float32, gathered and widened in one pass: what a batch of embeddings costs.
lazy_block.py: Embeddings that stay in their feature files: a block's values, read from disk where they are asked for.
people.py: Who is in which video.
predictions.py: Prediction files: the contract between heads (ours or anybody's) and blend.
relative.py: Columns less what they are on average in a recording, or in all recordings of a person.
resemblance.py: Videos that look like one person's, by their embeddings.
splits.py: Slices and folds of videos.
table.py: Features + labels -> rows. Everything a head learns from is checked here, once.
temporal.py: Temporal columns: what the frames around a frame look like, per video, as further columns of a table.
"""
