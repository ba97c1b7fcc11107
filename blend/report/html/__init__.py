"""report.html: the report as one page.

charts.py: Charts as inline SVG, drawn by matplotlib.
charts_outputs.py: The report's charts with one small panel per unit, class or dimension.
charts_scores.py: The report's charts of scores: leaderboard, score against k, weights, videos, the search.
data.py: The page's parts about the data and about what is handed in.
multitask.py: The multi-task challenge's outcome.
outputs.py: The page's parts with something per output: scores, thresholds, confusion, reliability, density.
page.py: report.html: the report as one page that needs no network and no server. Every number on it is one
scores.py: The page's parts about scores: leaderboard, folds, smoothing, weights, the search.
thumbnails.py: Thumbnails of faces for the timeline.
timeline.py: The report's timeline: truth, heads, blend, decisions and gaps of every video, small enough for one page.
videos.py: The page's parts with something per video: scores, the worst named, and the timeline.
"""
