"""Benchmark configs: one protocol and any number of methods, validated before anything runs."""

from .benchmark import BenchmarkConfig, PublishedConfig
from .dotted_paths import value_at
from .folders import METHOD_FOLDER, TUNED_FOLDER, benchmark_files, shipped_folder
from .image import AugmentationConfig, ImageConfig, RandomResizedCropConfig
from .loading import load_benchmark, load_benchmarks, read_benchmark, read_method
from .method import SPACES, HeadConfig, MethodConfig, Rates, RegularizerConfig, TunedConfig
from .optimization import OptimizerConfig, ScheduleConfig
from .protocol import EvaluationConfig, ProtocolConfig, SamplerConfig
from .search_range import SearchRange
from .splits import FoldedSplits, ListedSplits, Splits
from .strict_model import StrictModel

__all__ = [
    "METHOD_FOLDER",
    "SPACES",
    "TUNED_FOLDER",
    "AugmentationConfig",
    "BenchmarkConfig",
    "EvaluationConfig",
    "FoldedSplits",
    "HeadConfig",
    "ImageConfig",
    "ListedSplits",
    "MethodConfig",
    "OptimizerConfig",
    "ProtocolConfig",
    "PublishedConfig",
    "RandomResizedCropConfig",
    "Rates",
    "RegularizerConfig",
    "SamplerConfig",
    "ScheduleConfig",
    "SearchRange",
    "Splits",
    "StrictModel",
    "TunedConfig",
    "benchmark_files",
    "load_benchmark",
    "load_benchmarks",
    "read_benchmark",
    "read_method",
    "shipped_folder",
    "value_at",
]
