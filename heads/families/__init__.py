"""The families of heads: LightGBM, pre-trained outputs, Keras MLPs, linear maps, TabM, sequence encoders, LightAutoML.

lama/: The lama family: LightAutoML in processes that a time limit can end.
linear/: The linear family: logistic and ridge regression on standardised blocks of columns.
mlp/: The mlp family: Keras on TensorFlow.
sequence/: The sequence and fusion families: encoders over consecutive frames, in torch.
tabm/: The tabm family: TabM, 32 networks that share nearly all weights, in torch.
booster_text.py: A LightGBM booster's text, checked before the library parses it.
lightgbm_head.py: The lightgbm family: one booster per output (expr: one multiclass booster).
pretrained_head.py: The pretrained family: what the networks say of themselves, without training.
"""
