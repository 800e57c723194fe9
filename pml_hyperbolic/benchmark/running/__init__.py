"""Runs of a benchmark: planned, trained, resumed, scored and stored."""
