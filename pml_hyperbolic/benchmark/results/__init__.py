"""Results of runs: their files, their rows and the names of metrics."""
