"""What pages are made with: HTML templates that escape whatever they are given, and the timeline that pages share.

templates.py: Templates of HTML, and style sheets and scripts to write into a page.
"""
