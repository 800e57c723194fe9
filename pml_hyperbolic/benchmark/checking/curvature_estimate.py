"""Estimate a curvature from the training images of a benchmark, before anything is trained."""

from dataclasses import dataclass

import torch

from ...errors import InputError
from ...functional.hyperbolicity import suggested_curvature
from ..assembly.pipeline import Pipeline
from ..assembly.protocol_data import ProtocolData
from ..config import BenchmarkConfig
from ..config.curvature_control import curvature_paths

# The time is cubic in the number of points: about a second per sample.
_SAMPLE_SIZE = 1000
_SAMPLES = 5


@dataclass(frozen=True)
class CurvatureEstimate:
    """The curvature that Gromov's delta of some features suggests.

    Attributes:
        c: suggested curvature magnitude, mean over the samples.
        spread: its standard deviation over the samples.
        images: number of images of the training classes.
        sample_size: points per sample.
        samples: number of samples.
        dimension: of the features.
    """

    c: float
    spread: float
    images: int
    sample_size: int
    samples: int
    dimension: int


def estimate_curvature(config: BenchmarkConfig) -> CurvatureEstimate:
    """Estimate the curvature from the trunk's features of the training classes.

    The trunk has its initial weights: the published ones, or the random ones of the first seed.
    Only training classes of the first fold are used, without augmentation.

    Raises:
        InputError: data or backbone are not available, or the features suggest no finite
            curvature.
    """
    protocol = config.protocol
    name, method = next(iter(config.methods.items()))
    parts = Pipeline(ProtocolData(protocol), method, name, protocol.seeds[0], protocol.folds[0])
    features = _features(parts, protocol.evaluation.batch_size)
    draws = torch.Generator().manual_seed(protocol.seeds[0])
    try:
        c, spread = suggested_curvature(
            features, sample_size=_SAMPLE_SIZE, num_samples=_SAMPLES, generator=draws
        )
    except ValueError as error:
        raise InputError(f"{config.name}: {error}") from error
    return CurvatureEstimate(
        c=c,
        spread=spread,
        images=len(features),
        sample_size=min(_SAMPLE_SIZE, len(features)),
        samples=_SAMPLES,
        dimension=features.shape[1],
    )


def curvature_overrides(config: BenchmarkConfig, c: float) -> list[str]:
    """The overrides that give a curvature to the hyperbolic methods of a benchmark.

    Args:
        config: the benchmark.
        c: curvature magnitude, written with four digits.

    Returns:
        ``methods.NAME.path=c`` for each hyperbolic distance that a method names. A method whose
        distance is a default of its loss has none.
    """
    return [
        f"methods.{name}.{path}={c:.4g}"
        for name, method in config.methods.items()
        for path in curvature_paths(method)
    ]


@torch.no_grad()
def _features(parts, batch_size):
    images, trunk = parts.subsets["scored_train"], parts.models["trunk"].eval()
    batches = [
        trunk(images.__getitems__(list(range(start, min(start + batch_size, len(images)))))[0])
        for start in range(0, len(images), batch_size)
    ]
    return torch.cat(batches).float().cpu()
