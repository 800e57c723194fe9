"""The hash of weights depends on all of them and on nothing else."""

import torch

from pml_hyperbolic.backbones import weights_hash


def test_it_is_of_names_types_shapes_and_values():
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}
    # Another order, and other strides.
    same = {"b": torch.tensor(1), "a": weights["a"].t().contiguous().t()}
    assert weights_hash(weights) == weights_hash(same)
    others = [
        {**weights, "a": weights["a"] + 1},
        {**weights, "a": weights["a"].reshape(3, 2)},
        {**weights, "b": torch.tensor(1.0)},
        {"c": weights["a"], "b": weights["b"]},
    ]
    assert len({weights_hash(one) for one in [weights, *others]}) == 5
