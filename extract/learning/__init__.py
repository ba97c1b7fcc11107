"""Networks that learn: fine-tuning on labelled pictures, and what it leaves, an ordinary frozen network.

checkpoint.py: Checkpoints of a run: one safetensors file, whole or not at all, nothing pickled.
encoder.py: A vision transformer that pre-training has left: its facts, its weights, its embedding.
export.py: The ONNX file, what it has learnt from, and its section of a config.
linear_start.py: The first values of the output layer: a regression on frozen embeddings.
losses.py: Losses of the three kinds of labels.
names.py: What a network that learns may be called, and the section of its recipe.
network.py: A body that gives an embedding, a new output layer, and how deep each parameter lies.
optimiser.py: Sharpness-aware steps around Adam, and rates that fall towards the input.
pictures.py: Pictures as batches: shuffled, decoded ahead, mirrored; those that cannot be read.
recipe.py: [finetune.<name>]: the keys of the recipe.
start.py: The network to begin with: a timm checkpoint, a pre-trained encoder, or a plain chain out of an ONNX file.
train.py: The loop: epochs, checkpoints, the best epoch.
"""
