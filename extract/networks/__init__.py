"""Which networks there are, and their weights.

checkpoints.py: PyTorch checkpoints (`.pt`) -> ONNX, once.
registry.py: NETWORKS: one row of facts per frozen network. Adding a network is adding a row.
srvgg.py: SRVGGNetCompact, a small network that enlarges pictures: its checkpoint -> ONNX.
weights.py: Network files: found, downloaded, always verified, never half-written.
"""
