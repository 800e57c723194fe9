"""What can be said of an embedding in numbers: geometry, trees, and agreement with superclasses."""

from .embedding_file import EmbeddingFile, read_embeddings
from .geometry import (
    class_distances,
    class_means,
    class_similarities,
    geometry_name,
    nearest_neighbors,
    origin_distances,
    similarity_name,
)
from .geometry_facts import GeometryFacts, geometry_facts
from .hierarchy_measures import (
    Measured,
    dendrogram_purity,
    level_distances,
    measure_neighbors,
    measure_tree,
    neighbor_tree_distance,
    superclass_share,
    tree_correlation,
)
from .tree import Tree
from .tree_building import (
    agglomerative_tree,
    ancestor_tree,
    hyphc_tree,
    level_tree,
    pair_ancestors,
)

__all__ = [
    "EmbeddingFile",
    "GeometryFacts",
    "Measured",
    "Tree",
    "agglomerative_tree",
    "ancestor_tree",
    "class_distances",
    "class_means",
    "class_similarities",
    "dendrogram_purity",
    "geometry_facts",
    "geometry_name",
    "hyphc_tree",
    "level_distances",
    "level_tree",
    "measure_neighbors",
    "measure_tree",
    "nearest_neighbors",
    "neighbor_tree_distance",
    "origin_distances",
    "pair_ancestors",
    "read_embeddings",
    "similarity_name",
    "superclass_share",
    "tree_correlation",
]
