"""One optimization step of a method, and what must be true of it."""

import torch

from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.config import BenchmarkConfig


def weights(module):
    """Return copies of all parameters and buffers of a module."""
    return [value.clone() for value in module.state_dict().values()]


def one_step(config: BenchmarkConfig, name: str) -> Pipeline:
    """Train a method for one epoch, and check that every part learns and stays finite."""
    data = ProtocolData(config.protocol)
    parts = Pipeline(data, config.methods[name], name, config.protocol.seeds[0])
    before = {key: weights(module) for key, module in parts.models.items()}
    own = [p.detach().clone() for p in parts.loss.parameters()]
    parts.trainer().train(num_epochs=1)
    for key, values in before.items():
        pairs = zip(values, weights(parts.models[key]), strict=True)
        # Precomputed features have no trunk.
        assert not values or any(not torch.equal(a, b) for a, b in pairs)
    assert all(not torch.equal(a, b) for a, b in zip(own, parts.loss.parameters(), strict=True))
    assert all(p.isfinite().all() for m in parts.models.values() for p in m.parameters())
    return parts
