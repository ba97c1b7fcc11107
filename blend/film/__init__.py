"""What the frames of a predicted film show.

drawing.py: What drawn frames are made of: faces as arrays, colours, letters.
people_panel.py: Beside a frame with people by number: who is in sight, and what each shows.
"""
