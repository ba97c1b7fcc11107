"""The mlp family: Keras on TensorFlow.

head.py: The mlp family: Keras on TensorFlow, with the published losses and better habits around them.
network.py: The networks of the mlp family and their losses, as Keras layers and TensorFlow ops.
settings.py: The settings of the mlp family.
training.py: How one network of the mlp family learns: many compiled steps a call, the best epoch chosen on dev rows.
"""
