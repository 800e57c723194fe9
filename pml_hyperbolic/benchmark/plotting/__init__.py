"""Figures of finished runs and of files of embeddings: the command ``pml-hyperbolic plot``."""
