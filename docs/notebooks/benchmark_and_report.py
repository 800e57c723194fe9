# %% [markdown]
# # A benchmark and its report
#
# Three methods on the handwritten digits of scikit-learn: trained on 0 to 2, selected on 3 and 4,
# tested on 5 to 9. Whatever the command line does can be done from Python.

# %%
import csv
import json
from pathlib import Path

from pml_hyperbolic.benchmark.cli import main

seeds = "[0, 1, 2]"
epochs = 10
settings = [f"protocol.seeds={seeds}", f"protocol.epochs={epochs}", "curvature_control=true"]
methods = "methods=[multi_similarity, hyp, chest]"

# %% [markdown]
# ## Check, then run
#
# `validate` builds every method and refuses unequal ones. `run` does what is not done yet, so that
# this cell may be executed again at any time. `curvature_control` adds the flat twins.

# %%
assert main(["validate", "digits", methods, *settings]) == 0
assert main(["run", "digits", methods, *settings, "--jobs", "1", "--no-page"]) == 0

# %% [markdown]
# ## The report
#
# The same table as at the end of `run`, with another baseline, and as files: Markdown, LaTeX, CSV,
# and a page with figures.

# %%
assert main(["report", "runs/digits", "--baseline", "multi_similarity", "--write", "report"]) == 0

# %% [markdown]
# ## Its numbers
#
# `results.csv` has one number a line. These are the scores of single runs, on the test classes.

# %%
with open("runs/digits/results.csv", encoding="utf-8") as file:
    results = list(csv.DictReader(file))
for row in results:
    if row["split"] == "test" and row["metric"] == "mean_average_precision_at_r":
        print(row["method"], row["space"], f"seed {row['seed']}", row["value"])

# %% [markdown]
# ## One run
#
# A run's folder has its config, environment, log, scores and the selected checkpoint.

# %%
run = Path("runs/digits/chest/fold0_seed0")
print(sorted(file.name for file in run.iterdir()))
print(json.dumps(json.loads((run / "environment.json").read_text()), indent=1)[:300])
