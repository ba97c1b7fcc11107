"""ONNX network + picture -> outputs.

calibration.py: How a network runs fastest on this machine: raced for once, ten seconds, then on record.
check.py: Whether a network's file is what the config says of it, and whether what it gives can be kept.
create.py: Which engine runs a network: ONNX Runtime on an NVIDIA GPU, OpenVINO on the CPU.
graph.py: What runs a network; its ONNX graph with the outputs that its row asks for, and what comes out of them.
onnx_session.py: Sessions of ONNX Runtime, on a GPU or on the CPU.
onnxruntime_engine.py: Network + pictures -> embedding, logits, va, by ONNX Runtime.
openvino_engine.py: Network + picture -> embedding, logits, va, by OpenVINO on CPU.
race.py: OpenVINO's own choice of streams, threads and requests against others with the same bytes.
"""
