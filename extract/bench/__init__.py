"""What extraction costs, beside the published ways.

__main__.py: `python -m extract.bench`: frames/s of our extraction beside the published ways.
audio.py: `python -m extract.bench.audio`.
cluster.py: `python -m extract.bench.cluster`.
fixtures.py: Pictures and a random network of EfficientNet-B0's size, for the benchmarks.
long_run.py: `python -m extract.bench --long N`: does extraction of N crops stay within its memory and keep its speed?
measure.py: What `python -m extract.bench` measures.
"""
