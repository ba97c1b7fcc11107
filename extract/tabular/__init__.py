"""Per-frame tables of other programs -> features.

__main__.py: `python -m extract.tabular`: somebody else's per-frame table becomes features, as a network of its own.
formats.py: Which columns of somebody else's per-frame table become what.
importer.py: Somebody else's per-frame table (OpenFace.
placing.py: Where a table's rows belong: the video and the frame number, from 1, of each.
"""
