"""Features + labels -> predictions: tasks, official formats and scores, and one head per family."""
