"""The step that makes features, and the store that keeps them.

base.py: One network's part of the feature store: which videos are missing of it, and who makes them.
pictures.py: Face crops in memory -> what networks give of them, a frame's crops at once.
pipeline.py: Pictures -> features of one network.
provenance.py: What a feature file was made from.
step.py: Pictures through one network, and which of them could not be read.
store.py: The feature store: one safetensors file per video and network, written whole or not at all.
"""
