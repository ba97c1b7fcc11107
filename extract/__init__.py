"""Frames -> features: frozen networks over face crops, one file of features per video. Knows no labels.

audio/: Sound -> features, a vector a frame.
bench/: What extraction costs, beside the published ways.
demo/: The rendered corpus with known labels, and its two small networks.
engines/: ONNX network + picture -> outputs.
faces/: Raw video -> face crops.
features/: The step that makes features, and the store that keeps them.
jobs/: Jobs, on this machine or on those of a cluster: handed over, watched, recorded.
learning/: Networks that learn: fine-tuning on labelled pictures.
media/: Reading files: pictures, videos, sound, and the times of their frames.
networks/: Which networks there are, and their weights.
pretrain/: Pre-training on faces without labels: a masked autoencoder.
runtime/: What every step stands on: errors, progress, run folders, locks, processes.
tabular/: Per-frame tables of other programs -> features.
cluster_job.py: Extraction on a cluster: some videos of one network are a job, done under the same locks as anywhere.
config.py: The run's TOML file: strict, with overrides, paths resolved.
config_file.py: A config's TOML text: read.
enlarge.py: Super-resolution of face crops: each picture of a folder through a network that enlarges it.
export.py: Feature store -> one table for pandas and other programs, written video by video.
list_networks.py: What `python -m extract.run --list-networks` prints.
run.py: The extract step: every picture of the corpus through every network, into the feature store.
"""
