"""The step that makes features, and the store that keeps them.

pipeline.py: Pictures -> features of one network.
provenance.py: What a feature file was made from.
step.py: One network's part of the feature store.
store.py: The feature store: one safetensors file per video and network, written whole or not at all.
"""
