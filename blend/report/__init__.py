"""report.json and its words: every number and every sentence that people read.

html/: report.html: the report as one page.
caveats.py: What to worry about before a blend is handed in, read off its report; most serious first.
curves.py: Curves and tables of the report: score against k, F1 against threshold, confusion, reliability, density.
facts.py: Facts for the report: the data's gaps and frequencies.
leaderboard.py: The leaderboard: heads, equal weights, blends; and the five numbers above it.
pointers.py: Numbers on the page and where they come from.
published_scores.py: Published scores against k on Aff-Wild2's validation part, to be shown beside one's own.
report.py: report.json: every number that the blend stands on, without NaN, in an order that does not change.
run_report.py: A finished run in Python: its scores, what to expect on other videos, and where its files are.
schema.py: What report.json holds, as types: whoever writes or reads a key is checked against them.
summary.py: The blend's outcome in a few lines on the terminal. Reads nothing but the report.
unlabelled_test.py: What `blend.unlabelled_test` found, as sentences for people.
videos.py: Every validation video by itself: what is decided on it by blends that were made without it, and its score.
"""
