"""What heads cost at the size of Aff-Wild2.

__main__.py: `python -m heads.bench`: seconds and memory of the heads on a corpus of Aff-Wild2's size.
corpus.py: A corpus of Aff-Wild2's size with invented contents.
frames.py: Which frames of which videos the benchmark's corpus has.
measure.py: What `python -m heads.bench` measures: seconds and memory on a corpus of Aff-Wild2's size, in one run.
mlp.py: What `heads.bench` runs in processes of their own for the AU mlp: our epoch, and Keras's bare `model.fit`.
sequence.py: `python -m heads.bench.sequence`: rows/s and memory of the published (4,4) encoder at Aff-Wild2's size.
"""
