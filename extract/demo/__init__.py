"""The embedded corpus: rendered faces with known labels, and the two small networks trained for them.

It lets a machine without data and without a network run the whole pipeline on pictures.
"""
