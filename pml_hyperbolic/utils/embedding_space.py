"""EmbeddingSpace: which columns of an embedding form a space, and what scores it."""

from typing import NamedTuple

from .._pml import AccuracyCalculator


class EmbeddingSpace(NamedTuple):
    """One space of an embedding: its columns, and the calculator that scores it.

    Args:
        columns: a slice, or (start, stop); either end may be None.
        accuracy_calculator: a PML AccuracyCalculator; it determines the space's geometry.
    """

    columns: slice | tuple[int | None, int | None]
    accuracy_calculator: AccuracyCalculator
