"""The tabm family: TabM, 32 networks that share nearly all weights, in torch.

head.py: The tabm family: many networks in one that share nearly all weights, each with a loss of its own, averaged.
network.py: TabM's network: the layers of the package tabm, with a first layer that is as quick as wide columns need.
settings.py: The settings of the tabm family.
training.py: How a TabM network learns: some rows of train each epoch, the best epoch chosen on dev rows.
"""
