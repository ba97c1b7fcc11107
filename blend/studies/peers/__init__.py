"""What other libraries make of the same rows: AutoML and plain models beside the default blend.

__main__.py: The comparison as a command.
export.py: The rows that all peers learn from and predict, as files that any Python can read.
processes.py: Peers learn, each in a process of the Python that has its library.
worker.py: One peer learns.
"""
