"""PML testers for hyperbolic embeddings."""

from .embedding_spaces_tester import EmbeddingSpacesTester

__all__ = ["EmbeddingSpacesTester"]
