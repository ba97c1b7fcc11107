"""Which networks there are, and their weights.

checkpoints.py: PyTorch checkpoints (`.pt`) -> ONNX, once.
facts.py: What the file of a fine-tuned network says of itself: what it has learnt from, and the networks of its folds.
registry.py: NETWORKS: one row of facts per frozen network. Adding a network is adding a row.
srvgg.py: SRVGGNetCompact, a small network that enlarges pictures: its checkpoint -> ONNX.
weights.py: Network files: found, downloaded, always verified, never half-written.
"""
