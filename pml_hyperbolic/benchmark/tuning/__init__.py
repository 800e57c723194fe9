"""Tuning: an equal hyperparameter search for all methods."""
