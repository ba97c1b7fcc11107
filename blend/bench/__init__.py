"""What the blend costs at the size of Aff-Wild2.

__main__.py: `python -m blend.bench`: what the blend costs at Aff-Wild2's size, beside the published way.
makespan.py: Simulated time of work on many nodes: jobs, slots, one shared disk, stragglers and failures as events.
parts.py: Each part of the benchmark, in a process of its own.
pools.py: Pools of Aff-Wild2's size for the benchmark: real numbers of videos and frames, real gaps, invented scores.
predict.py: How much memory and time `blend.predict` takes on a long video.
reference.py: The published way of scoring one blend, as the authors' notebooks do it, for comparison.
report.py: `python -m blend.bench.report`: what report.html costs at Aff-Wild2's size.
scale.py: `python -m blend.bench.scale`: the time of a run on many nodes, simulated and checked against real workers.
"""
