"""The sequence and fusion families: encoders over consecutive frames, in torch.

augment.py: What is done to clips while learning, so that an encoder does not learn videos by heart.
clips.py: Clips: windows of a video, as matrices of row numbers, and the features in them.
fusion.py: The fusion family: several streams of features, visual networks and sound, in one encoder.
head.py: The sequence family: an encoder over the features of consecutive frames, in torch.
layers.py: The layers that an encoder is made of: attention, dilated convolutions, or a recurrent network.
network.py: The network of sequence heads: columns -> projection -> encoder over time -> one output per frame.
training.py: How one encoder of a sequence head learns.
"""
