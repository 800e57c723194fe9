"""Runs: planned, trained, resumed, scored and kept."""
