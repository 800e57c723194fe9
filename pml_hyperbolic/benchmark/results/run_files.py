"""What the folder of a benchmark holds, and the folder of each of its runs."""

# Of a benchmark.
BENCHMARK_FILE = "benchmark.yaml"  # the config with all its methods
RESULTS_FILE = "results.json"  # the rows of all finished runs
TIDY_FILE = "results.csv"  # the same, a number a line

# Of a run.
CONFIG_FILE = "config.yaml"
ENVIRONMENT_FILE = "environment.json"  # machine, packages and their versions
RECORDS_FOLDER = "records"  # record-keeper's
TENSORBOARD_FOLDER = "tensorboard"
LAST_FILE = "last.pt"  # all that training goes on from, until the run is finished
CHECKPOINT_FILE = "checkpoint.pt"  # the selected epoch's models and losses
QUERIES_FILE = "queries.npz"  # the score of every test query
EMBEDDINGS_FILE = "test_embeddings.npy"
RESULT_FILE = "result.json"  # rows of this run; its presence says that the run is finished
