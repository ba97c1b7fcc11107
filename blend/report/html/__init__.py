"""report.html: the report as one page, of the HTML in templates/.

charts.py: Charts as inline SVG, drawn by matplotlib.
charts_outputs.py: The report's charts with one small panel per unit, class or dimension.
charts_scores.py: The report's charts of scores: leaderboard, score against k, weights, videos, the search.
index.py: index.html of a work folder: the main numbers of every task's finished blend, and links to the reports.
multitask.py: The multi-task challenge's outcome.
page.py: report.html: the report as one page that needs no network and no server. Every number on it is one
sections.py: The parts of report.html, each of a template of its name: what it shows, and its charts.
thumbnails.py: Thumbnails of faces for the timeline.
timeline.py: The report's timeline: truth, heads, blend, decisions and gaps of every video, small enough for one page.
"""
