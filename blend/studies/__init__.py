"""What estimates and ways of selecting are worth. They measure the method, not the user's data.

ablation.py: What temporal columns.
corpora/: Labelled corpora: a larger demo, and any in three parts by person.
demo_scores.py: Scores of heads and blends on the demo.
draw.py: One pair of draws of `blend.studies.simulate`: two sets of videos, each in turn validation and test.
faults.py: How often `blend.unlabelled_test` warns of made predictions of test.
finetuned.py: What a network fine-tuned on the demo's training videos is worth.
more_heads.py: What heads that run on request are worth, alone and in a blend.
nothing.py: Heads that know nothing: does the cross-fitted estimate promise more of them than new videos give?
peers/: What other libraries make of the same rows.
people.py: What the table of people is worth.
pretraining.py: What pre-training without labels is worth to a linear layer.
results.py: Results of a study as lines of JSON in a file.
sequences.py: What encoders over time are worth beside heads that see one frame.
simulate.py: What each estimate promises and each way of selecting reaches.
simulation/: Made videos, and the table of what came of them.
splits.py: Random splits by person of a labelled corpus.
synthetic.py: What each step of learning from synthetic data is worth on the embedded pictures.
"""
