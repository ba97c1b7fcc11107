"""Studies: what estimates and ways of selecting are worth. They measure the method, not the user's data.

people.py: command; people in several videos each, with the table of people and without it.
"""
