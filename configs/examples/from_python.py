# %% [markdown]
# From Python: a submission and its report, then anybody's video. Every `# %%` is a cell (Jupyter, VS Code, PyCharm),
# and the whole is a script: `python from_python.py`. The first cell takes minutes where the demo has not been run.

# %% A submission: the demo here, `run("au", "affwild2.toml")` with a config of your own
from pathlib import Path

from blend import Predictor, load_report, run

report = run("au")
print(report)

# %% Its scores on the videos that it was made from, and what to expect on others
for name, score in report.scores.items():
    print(name, score)
print(report.expected, report.interval)

# %% The same later, or elsewhere: `values` is all of report.json
report = load_report(report.folder)
print(report.values["weights"], report.submission)

# %% Videos, one after the other: what is loaded with the first is there for the others
with Predictor(report.folder) as predictor:
    for video in sorted(Path("runs/demo/corpus/cropped_aligned").glob("demo-2[4-5]")):
        table = predictor.predict(video)  # a folder of crops; a file, an array or an iterator of frames is as good
        print(video.name, table.filter(like="_score").mean().round(3).to_dict())
