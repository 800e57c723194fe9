"""Planted unfairness: `validate` finds all of it, and declared differences are recorded."""

import copy

import pytest
import torch
from pytorch_metric_learning import losses, miners

from pml_hyperbolic.benchmark.assembly import pipeline
from pml_hyperbolic.benchmark.assembly.registry import REGISTRY
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.files import read_json

from ..conftest import HYPERBOLIC, METHODS, TINY

MS = {"loss": "MultiSimilarityLoss"}
PA = METHODS["proxy_anchor"]
HYP = METHODS["hyp"]
CHEST = METHODS["chest"]
FLAT = {"PoincareDistance": {"c": 1e-4, "clip_radius": 2.3}}
TUNED = {"metric": "r_precision", "value": 0.5, "seeds": [0], "protocol": "aaa"}


def tuned(method, trials=20, **changes):
    return {**method, "search_trials": trials, "tuned": {**TUNED, **changes}}


class LossWithHiddenProxies(losses.ProxyAnchorLoss):
    """A loss whose proxies are trainable, but missing from its parameters."""

    def parameters(self, recurse=True):
        return iter(())


class LearningMiner(miners.TripletMarginMiner):
    """A miner with a parameter that no optimizer trains."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.threshold = torch.nn.Parameter(torch.zeros(1))


# Error -> (methods, overrides, part of the message).
REFUSED = {
    "a method trains longer": ({"a": {**MS, "epochs": 9}}, [], "'epochs' is a protocol key"),
    "a method has its own trunk lr": ({"a": {**MS, "trunk_lr": 1}}, [], "at protocol.optimizer.tr"),
    "a method nests a protocol key": (
        {"a": {**MS, "head": {"embedding_size": 512}}},
        [],
        "unknown key 'embedding_size'",
    ),
    "a method has its own sampler": ({"a": {**MS, "sampler": {}}}, [], "'sampler' is a protocol"),
    "a misspelt learning rate": ({"a": {**PA, "los_lr": 1}}, [], "did you mean 'loss_lr'?"),
    "a misspelt setting of a loss": (
        {"a": {"loss": {"MultiSimilarityLoss": {"bet": 5}}}},
        [],
        "unknown argument 'bet'",
    ),
    "a larger embedding by the loss": (
        {"a": {"loss": {"ProxyAnchorLoss": {"embedding_size": 512}}, "loss_lr": 0.1}},
        [],
        "embedding_size is known from the protocol (8): leave it out",
    ),
    "more classes by the loss": (
        {"a": {"loss": {"ProxyAnchorLoss": {"num_classes": 9}}, "loss_lr": 0.1}},
        [],
        "num_classes is known from the protocol",
    ),
    "proxies without a learning rate": (
        {"a": {"loss": "ProxyAnchorLoss"}},
        [],
        "a: loss_lr is required",
    ),
    "regularizer's proxies without one": (
        {"a": {**METHODS["hier"], "regularizer": {"use": METHODS["hier"]["regularizer"]["use"]}}},
        [],
        "regularizer.lr is required",
    ),
    "proxies in no optimizer": (
        {"a": {"loss": "LossWithHiddenProxies"}},
        [],
        "metric_loss.proxies is in no optimizer",
    ),
    "a miner's parameter in no optimizer": (
        {"a": {**MS, "miner": "LearningMiner"}},
        [],
        "miner.threshold is in no optimizer",
    ),
    "test classes that were trained on": ({"a": MS}, ["protocol.splits.test=[2, 5]"], "class-disj"),
    "selection on test classes": ({"a": MS}, ["protocol.splits.validation=[5, 6]"], "class-disj"),
    "a second copy of the optimizer's lr": (
        {"a": MS},
        ["protocol.optimizer.arguments.lr=1"],
        "'lr' would be ignored",
    ),
    "two outputs of the whole size": (
        {"a": MS, "chest": CHEST, "hyp": HYP},
        ["protocol.equal_total_dimension=false"],
        "declare it with different_parameters: true in chest",
    ),
    "a total dimension that cannot be shared": (
        {"a": MS, "chest": CHEST},
        ["protocol.embedding_size=9"],
        "9 cannot be shared equally by 2 spaces",
    ),
    "the same method twice": (
        {"a": PA, "b": {**PA, "about": "ours"}},
        [],
        "a and b are the same method under two names",
    ),
    "only one method is tuned": (
        {"a": MS, "ours": tuned(PA)},
        [],
        "ours had search trials: 20, a: 0",
    ),
    "one method is tuned longer": (
        {"a": tuned(MS, 5), "ours": tuned(PA, 50)},
        [],
        "different_search_trials: true in ours",
    ),
    "one method is tuned under another protocol": (
        {"a": tuned(MS), "ours": tuned(PA, protocol="bbb")},
        [],
        "ours had a search under protocol: bbb, a: aaa",
    ),
    "one method is tuned on more seeds": (
        {"a": tuned(MS), "ours": tuned(PA, seeds=[0, 1])},
        [],
        "ours had search seeds: [0, 1], a: [0]",
    ),
    "a search leaves the proxies' rate out": (
        {"a": {**PA, "search": {"loss_weight_decay": {"grid": [0, 1e-4]}}}},
        [],
        "loss_lr must be among the searched settings",
    ),
    "a search of the protocol": (
        {"a": {**MS, "search": {"epochs": {"grid": [1, 9]}}}},
        [],
        "'epochs' is no setting of this method",
    ),
    "a search into impossible settings": (
        {"a": {**PA, "search": {"loss_lr": {"low": -1.0, "high": 1.0}}}},
        [],
        "a: search: loss_lr = -1.0: loss_lr: must be greater than 0, got -1.0",
    ),
    "a search into settings that the loss refuses": (
        {
            "a": {
                "loss": {"SoftTripleLoss": {"centers_per_class": 2}},
                "loss_lr": 0.1,
                "search": {
                    "loss_lr": {"grid": [0.1, 1]},
                    "loss.SoftTripleLoss.centers_per_class": {"choices": [2, "many"]},
                },
            }
        },
        [],
        "centers_per_class = many",
    ),
    "another curvature in the regularizer": (
        {
            "a": {
                "loss": {"NTXentLoss": {"distance": {"PoincareDistance": HYPERBOLIC}}},
                "regularizer": {
                    "use": {"HIERLoss": {"num_proxies": 8, "num_neighbors": 4, "distance": FLAT}},
                    "lr": 0.1,
                },
                "head": {"spaces": ["hyperbolic"]},
            }
        },
        [],
        "its hyperbolic distances disagree",
    ),
    "hyperbolic training, cosine ranking": (
        {"a": {**HYP, "head": {}}},
        [],
        "which is ranked by cosine",
    ),
    "a hyperbolic method that normalises its points": (
        {
            "a": {
                **HYP,
                "loss": {
                    "NTXentLoss": {
                        "distance": {
                            "PoincareDistance": {**HYPERBOLIC, "normalize_embeddings": True}
                        }
                    }
                },
            }
        },
        [],
        "normalize_embeddings",
    ),
    "more neighbours than there are references": (
        {"a": MS},
        ["protocol.evaluation.recall_at=[1, 1000]"],
        "recall_at has 1000, but a query has only",
    ),
}

# Doubt -> (methods, overrides, part of the note).
NOTED = {
    "clipped from the start": (
        {"a": {**HYP, "head": {"spaces": ["hyperbolic"], "initial_radius": 5.0}}},
        [],
        "note: a: head.initial_radius 5 is not below clip_radius 2.3",
    ),
    "norms that evaluation drops": (
        {
            "a": {
                "loss": {
                    "ContrastiveLoss": {"distance": {"LpDistance": {"normalize_embeddings": False}}}
                }
            }
        },
        [],
        "note: a: it trains on LpDistance of embeddings that are not normalised",
    ),
    "a miner in another geometry": (
        {"a": {**HYP, "miner": "MultiSimilarityMiner"}},
        [],
        "note: a: its loss is hyperbolic, but its miner is not",
    ),
    "a best value at the edge": (
        {"a": tuned(PA, at_edge=["loss_lr"])},
        [],
        "note: a: the search chose loss_lr at the edge of what it tried",
    ),
    "no positive pairs": (
        {"a": PA},
        ["protocol.sampler={batch_size: 3, samples_per_class: 1}"],
        "note: protocol.sampler.samples_per_class is 1",
    ),
    "no negative pairs": (
        {"a": PA},
        ["protocol.sampler={batch_size: 4, samples_per_class: 4}"],
        "note: a batch has a single class",
    ),
    "a rate without a trunk": (
        {"a": MS},
        [
            "protocol.data={tree: {branching: [4, 2, 4]}}",
            "protocol.backbone=identity",
            "protocol.augmentation={}",
        ],
        "note: protocol.optimizer.trunk_lr does nothing",
    ),
    "declared parameters": (
        {"a": MS, "chest": {**CHEST, "different_parameters": True}},
        ["protocol.equal_total_dimension=false"],
        "note: chest declares different_parameters: ",
    ),
    "declared trials": (
        {"a": tuned(MS, 5), "ours": {**tuned(PA, 50), "different_search_trials": True}},
        [],
        "note: ours declares different_search_trials: 50 trials",
    ),
}


@pytest.fixture(autouse=True)
def planted_classes(monkeypatch):
    for kind, cls in (
        ("loss", LossWithHiddenProxies),
        ("miner", LearningMiner),
    ):
        monkeypatch.setitem(REGISTRY[kind], cls.__name__, cls)


@pytest.fixture
def planted(tmp_path, write_config):
    def write(methods):
        return write_config(tmp_path, {**TINY, "methods": list(methods)}, copy.deepcopy(methods))

    return write


def test_the_list_is_long_enough():
    assert len(REFUSED) >= 10


@pytest.mark.parametrize("case", REFUSED)
def test_planted_unfairness_is_refused(planted, refused, case):
    methods, overrides, message = REFUSED[case]
    assert message in refused("validate", planted(methods), *overrides)


@pytest.mark.parametrize("case", NOTED)
def test_doubts_and_declared_differences_are_noted(planted, capsys, case):
    methods, overrides, message = NOTED[case]
    assert main(["validate", str(planted(methods)), *overrides]) == 0
    assert message in capsys.readouterr().out


def test_a_fair_benchmark_is_left_in_peace(planted, capsys):
    methods = {name: METHODS[name] for name in ("proxy_anchor", "hier", "hyp", "chest")}
    assert main(["validate", str(planted(methods))]) == 0
    assert "note" not in capsys.readouterr().out
    # The same method with another curvature is a control, not a duplicate.
    twin = {**HYP, "loss": {"NTXentLoss": {"distance": FLAT}}}
    assert main(["validate", str(planted({"hyp": HYP, "flat": twin}))]) == 0
    both = {"a": tuned(MS), "b": tuned(PA)}
    assert main(["validate", str(planted(both))]) == 0


def test_a_parameter_in_two_optimizers_is_refused(planted, refused, monkeypatch):
    make = pipeline.make_optimizers

    def shared(config, rates, models, groups):
        optimizers = make(config, rates, models, groups)
        twice = list(models["trunk"].parameters())
        optimizers["embedder_optimizer"].add_param_group({"params": twice})
        return optimizers

    monkeypatch.setattr(pipeline, "make_optimizers", shared)
    line = refused("validate", planted({"a": MS}))
    assert "a: trunk." in line
    assert "in two optimizers" in line


def test_the_usual_number_of_parameters_is_the_measure(planted, refused):
    methods = {"chest": CHEST, "a": MS, "hyp": HYP}
    line = refused("validate", planted(methods), "protocol.equal_total_dimension=false")
    assert "chest has" in line
    assert "16 dimensions, a has" in line


def test_declared_differences_reach_the_report(planted, tmp_path, capsys):
    methods = {"a": MS, "chest": {**CHEST, "different_parameters": True}}
    overrides = ["protocol.equal_total_dimension=false", "protocol.seeds=[0]"]
    overrides += ["protocol.epochs=1", "protocol.steps_per_epoch=1"]
    command = ["run", str(planted(methods)), *overrides, "--jobs", "1"]
    assert main([*command, "--output", str(tmp_path / "runs")]) == 0
    assert "chest declares different_parameters: " in capsys.readouterr().out
    rows = read_json(tmp_path / "runs" / "tiny" / "results.json")
    assert {row["method"]: row["different_parameters"] for row in rows} == {
        "a": False,
        "chest": True,
    }
    assert {row["method"]: row["total_dimension"] for row in rows} == {"a": 8, "chest": 16}
