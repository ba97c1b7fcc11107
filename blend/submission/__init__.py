"""The organisers' formats: written, checked, scored.

alternatives.py: Up to five different submissions in one go: which, in what order, and none twice.
check.py: A submission's text as an organiser's reader sees it: what is wrong with lines, and with their order.
folder.py: ABAW-3's submissions: a folder of one text per video, a header and then one line per frame.
formats.py: The organisers' file formats as facts.
test_score.py: Scores of decisions against annotations, and of the test set whose truth only the demo has.
write.py: The submission file: driven by the test list, written whole or not at all, read back and checked.
"""
