"""Studies: what estimates and ways of selecting are worth. They measure the method, not the user's data.

simulate.py: command; made populations, validation to test, every estimate and every way of selecting.
population.py: made videos whose scores resemble published systems'.
kinds.py: how a made population departs from the plain one: shift, heavy tails, several videos per person.
draw.py: two sets of videos, each in turn validation and test.
measure.py: everything that is done on a validation pool, and what it scores on test pools.
table.py: means, standard errors and coverage, as tables and as claims that hold or do not.
results.py: results as lines of JSON in a file, so that a killed study goes on.
faults.py: command; planted faults in unlabelled predictions, and how often they are warned of.
nothing.py: command; heads that know nothing: the estimate against the truth.
splits.py: command; random splits by person of a labelled corpus, heads trained on each.
split_corpus.py: the three parts of a split as the folders and lists that the other steps read.
split_table.py: the table of the splits.
demo_corpus.py: a larger demo corpus, every video of it labelled.
people.py: command; people in several videos each, with the table of people and without it.
"""
