"""Labelled corpora for studies.

demo_corpus.py: A larger demo corpus, every video of it labelled.
split_corpus.py: A labelled corpus in three parts, by person.
"""
