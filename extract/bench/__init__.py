"""What extraction costs, beside the published ways.

__main__.py: `python -m extract.bench`: frames/s of our extraction beside the published ways.
audio.py: `python -m extract.bench.audio`.
cluster.py: `python -m extract.bench.cluster`.
crowd.py: A made film of people who cross, with the truth about who is where, and what a detector would say.
fixtures.py: Pictures and a random network of EfficientNet-B0's size, for the benchmarks.
learning.py: `python -m extract.bench --learning`: pictures/s of fine-tuning beside a bare torch loop on ready tensors.
long_run.py: `python -m extract.bench --long N`: does extraction of N crops stay within its memory and keep its speed?
measure.py: What `python -m extract.bench` measures.
people.py: `python -m extract.bench.people`: how often trackers mistake one person for another in made crowds.
"""
