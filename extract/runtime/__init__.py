"""What every step stands on: errors, progress, run folders, locks, processes.

cli.py: What all commands share: the options that mean the same everywhere, and how a command starts.
console.py: Where tables for people are printed: stdout, as it is on a terminal, wide enough elsewhere.
errors.py: Bad input is one clear line and exit code 2; anything else is a bug and keeps its traceback.
file_names.py: Names that become files or folders.
inputs.py: Files that users give: that they can be read at all, and their text. Every reader begins here.
limits.py: The largest inputs that are taken, in one place.
locks.py: Locks that several processes, on one or many machines, share a work folder by.
memory.py: How much memory a process and all its children take at most, by looking often.
process.py: Processes of our own: where they find the packages.
progress.py: One way to show progress: bars on a terminal, sparse plain lines elsewhere.
run_folder.py: Run folders: files appear whole or not at all, and DONE is the last thing written.
"""
