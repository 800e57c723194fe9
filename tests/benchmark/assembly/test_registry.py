"""Objects are built from names and arguments, nested ones too, and arguments are checked."""

import pytest
from pytorch_metric_learning import losses, miners

from pml_hyperbolic.benchmark.assembly.registry import (
    REGISTRY,
    accepted_arguments,
    build,
    find,
    from_registry,
)
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.losses import CHESTLoss
from pml_hyperbolic.regularizers import HypHCRegularizer


def test_ours_and_pmls_are_there():
    assert find("loss", "CHESTLoss", "x") is CHESTLoss
    assert find("loss", "ProxyAnchorLoss", "x") is losses.ProxyAnchorLoss
    assert find("distance", "PoincareDistance", "x") is PoincareDistance
    assert all(REGISTRY[kind] for kind in ("miner", "reducer", "regularizer"))


def test_nested_specs_are_built():
    loss = build(
        "loss",
        {
            "NTXentLoss": {
                "temperature": 0.5,
                "distance": {"PoincareDistance": {"c": 0.7}},
                "reducer": "MeanReducer",
            }
        },
        where="here",
    )
    assert loss.distance.c == 0.7
    assert type(loss.reducer).__name__ == "MeanReducer"


def test_the_protocol_fills_in_what_a_class_takes():
    fill = {"num_classes": 3, "embedding_size": 4, "euclidean_size": 2}
    assert build("loss", "ProxyAnchorLoss", where="x", fill=fill).proxies.shape == (3, 4)
    memory = build(
        "loss",
        {"CrossBatchMemory": {"loss": "ContrastiveLoss", "memory_size": 5}},
        where="x",
        fill=fill,
    )
    assert memory.embedding_memory.shape == (5, 4)


def test_arguments_of_bases_count_where_they_are_passed_on():
    assert {"alpha", "beta", "distance", "reducer"} <= set(
        accepted_arguments(losses.MultiSimilarityLoss)
    )
    assert "similarity" in accepted_arguments(HypHCRegularizer)
    assert set(accepted_arguments(lambda a, *b, c=1, **d: 0)) == {"a", "c"}
    assert "margin" in accepted_arguments(miners.TripletMarginMiner)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ProxyAnchrLoss", "no loss 'ProxyAnchrLoss': did you mean 'ProxyAnchorLoss'?"),
        ({"NTXentLoss": {"temprature": 1}}, "unknown argument 'temprature': .*'temperature'"),
        ({"ProxyAnchorLoss": {"num_classes": 5}}, "num_classes is known from the protocol"),
        ({"NTXentLoss": {"distance": "PoincareDist"}}, "distance: no distance 'PoincareDist'"),
        ({"NTXentLoss": {"distance": {"PoincareDistance": {"c": -1}}}}, "distance: Poinc.*c"),
        ({"NTXentLoss": {"distance": {1: {}}}}, "no distance 1"),
        ({"NTXentLoss": {"distance": {"PoincareDistance": {1: 2}}}}, "unknown argument 1"),
        ({"NTXentLoss": {"distance": [1]}}, "expected Name or"),
        ({"NTXentLoss": {}, "TripletMarginLoss": {}}, "expected Name or"),
        ({"SoftTripleLoss": {"centers_per_class": -1}}, "SoftTripleLoss: "),
        ({"TripletMarginLoss": {"triplets_per_anchor": 5, "marginn": 1}}, "'margin'"),
    ],
)
def test_what_is_refused(spec, message):
    with pytest.raises(InputError, match=message) as caught:
        build("loss", spec, where="here", fill={"num_classes": 3, "embedding_size": 4})
    assert str(caught.value).startswith("here")
    assert "\n" not in str(caught.value)


def test_data_sets_and_backbones_come_from_registries_of_their_own():
    registry = {"thing": lambda size, width=1: (size, width)}
    spec = {"thing": {"width": 3}}
    assert from_registry(registry, "thing", spec, "protocol.x", fill={"size": 2}) == (2, 3)
    with pytest.raises(InputError, match=r"^protocol.x: no toy 'thin': did you mean 'thing'"):
        from_registry(registry, "toy", {"thin": {}}, "protocol.x")
    with pytest.raises(InputError, match=r"^protocol.x: thing: unknown argument 'w'"):
        from_registry(registry, "thing", {"thing": {"w": 3}}, "protocol.x", fill={"size": 2})
