"""File names in the folder of a benchmark, and in the folder of each of its runs."""

from pathlib import Path

# Of a benchmark.
BENCHMARK_FILE = "benchmark.yaml"  # the config with all its methods
RESULTS_FILE = "results.json"  # the rows of all finished runs
TIDY_FILE = "results.csv"  # the same, one number a line
FROZEN_TRUNK_FILE = "frozen_trunk.pt"  # the weights that all its runs share, if they are frozen
UNTRAINED_FILE = "untrained.json"  # what the networks score before any training

# Of a run.
CONFIG_FILE = "config.yaml"
ENVIRONMENT_FILE = "environment.json"  # machine, packages and their versions
RECORDS_FOLDER = "records"  # written by record-keeper
TENSORBOARD_FOLDER = "tensorboard"
LOG_FILE = "run.log"
LAST_FILE = "last.pt"  # the state to resume from, until the run is finished
CHECKPOINT_FILE = "checkpoint.pt"  # models and losses of the selected epoch
QUERIES_FILE = "queries.npz"  # the score of every test query
EMBEDDINGS_FILE = "test_embeddings.npy"
MEASURES_FILE = "measures.json"  # geometry and hierarchy of the test embeddings
SNAPSHOTS_FILE = "snapshots.npz"  # embeddings of a sample and proxies at a few epochs
RADII_FILE = "radii.npz"  # histograms of hyperbolic radii at every scored epoch
RESULT_FILE = "result.json"  # the rows of this run; it exists only if the run is finished


def run_folder(benchmark: Path, method: str, fold: int, seed: int) -> Path:
    """Return the folder of one run in the folder of its benchmark."""
    return benchmark / method / f"fold{fold}_seed{seed}"
