"""ONNX network + picture -> outputs.

check.py: Whether a network's file is what the config says of it, and whether what it gives can be kept.
create.py: Which engine runs a network: torch on CUDA, OpenVINO on CPU.
graph.py: An ONNX graph with the outputs that a network's row asks for, and what comes out of them.
onnx_module.py: An ONNX graph as a torch module, for one batch shape.
onnx_operators.py: ONNX operators in torch: OPERATORS, one small function each, after onnx.ai/onnx/operators.
openvino_engine.py: Network + picture -> embedding, logits, va, by OpenVINO on CPU.
torch_engine.py: Network + pictures -> embedding, logits, va, by torch: on CUDA, or (slowly, to check) on CPU.
"""
