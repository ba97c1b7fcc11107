"""The lama family: LightAutoML in processes that a time limit can end.

boosted_trees.py: Boosted trees of LightGBM as tables of bits.
boosters.py: Boosters of CatBoost and XGBoost as arrays of numbers: neither library opens a file to predict.
budget.py: How many rows LightAutoML may learn each output from.
data.py: What LightAutoML learns from: a target for each output, rows of train and dev as one table, folds by video.
fit.py: One LightAutoML fit, from arrays to a model as bytes: what one output costs, and nothing in silence.
head.py: The lama family: LightAutoML, one automl per output (au binary, va regression; expr one multiclass).
library.py: LightAutoML as a guest.
pool.py: Fits orders in processes of their own, some side by side, until a moment at which they are ended.
random_forest.py: Trees as arrays of numbers, kept as text; random forests of scikit-learn, scored without scikit-learn.
scorer.py: What is left of an automl when it has learnt.
worker.py: A process that fits what it is sent by lama.pool: LightAutoML does not stop when asked, a process does.
"""
