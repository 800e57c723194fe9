"""Tuning: every method searched equally."""
