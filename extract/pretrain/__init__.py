"""Pre-training: a masked autoencoder learns faces from pictures alone, and leaves an ordinary frozen network.

__main__.py: The command.
autoencoder.py: The model, its target, and its encoder as timm's vision transformer.
images.py: Pictures of any folders, those that are held out, and random views of them.
report.py: A page: the loss of each epoch, and pictures masked, reconstructed and as they are.
train.py: The loop: steps, checkpoints, reconstruction of what is held out.
"""
