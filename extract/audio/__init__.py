"""Sound -> features, a vector a frame.

engine.py: An ONNX network that hears, compiled for stretches of one length: OpenVINO on CPU, ONNX Runtime on CUDA.
logmel.py: Log-mel features of a sound, one vector a frame, centred on the frame's own time. No weights.
network.py: An ONNX network of the user's own that hears: a stretch of sound -> one vector, or a sequence of them.
segments.py: Which stretch of sound a network hears for which frames.
step.py: The sound's part of the feature store.
"""
