"""Checks of a benchmark before anything runs."""
