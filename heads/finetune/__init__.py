"""A network learns from the training videos (extract.learning does the work, and knows no annotation file).

__main__.py: `python -m heads.finetune`: fine-tune a network on a task, and leave it as an ordinary one.
corpus.py: The annotated pictures of train, cut by recording and person, and what each label weighs.
"""
