"""Figures, one a file: arrays in, a matplotlib Figure out. Needs the extra ``plots``."""

from .affinity import affinity
from .curves import LearningCurves, curves
from .dimension import DimensionScores, dimension
from .disk import disk, write_disk_animation
from .disk_layout import DiskFrame, disk_frames
from .forest import Difference, forest
from .hierarchy import hierarchy
from .proxy_neighbors import proxy_neighbors
from .radii import radii, radius_histograms
from .retrieval import ChosenQueries, choose_queries, retrieval
from .similarities import SimilaritySplit, similarities, split_similarities

__all__ = [
    "ChosenQueries",
    "Difference",
    "DimensionScores",
    "DiskFrame",
    "LearningCurves",
    "SimilaritySplit",
    "affinity",
    "choose_queries",
    "curves",
    "dimension",
    "disk",
    "disk_frames",
    "forest",
    "hierarchy",
    "proxy_neighbors",
    "radii",
    "radius_histograms",
    "retrieval",
    "similarities",
    "split_similarities",
    "write_disk_animation",
]
