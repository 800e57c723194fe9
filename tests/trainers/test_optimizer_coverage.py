"""check_optimizer_coverage: no parameter is forgotten, and none is updated twice."""

import pytest
import torch
from pytorch_metric_learning import losses

from pml_hyperbolic.losses import CHESTLoss, HIERLoss
from pml_hyperbolic.trainers import check_optimizer_coverage


def sgd(*modules):
    return torch.optim.SGD([p for module in modules for p in module.parameters()], lr=0.1)


def parts():
    return {
        "trunk": torch.nn.Linear(3, 2),
        "embedder": torch.nn.Linear(2, 2),
        "metric_loss": losses.ProxyAnchorLoss(4, 2),
    }


def test_one_optimizer_for_each_module_or_one_for_all():
    modules = parts()
    check_optimizer_coverage(modules, {f"{k}_optimizer": sgd(m) for k, m in modules.items()})
    check_optimizer_coverage(modules, {"trunk_optimizer": sgd(*modules.values())})


def test_nothing_to_train_needs_no_optimizer():
    check_optimizer_coverage({}, {})
    frozen = torch.nn.Linear(3, 2).requires_grad_(False)
    check_optimizer_coverage({"trunk": frozen, "metric_loss": losses.ContrastiveLoss()}, {})


def test_optimizers_may_hold_more_than_the_modules():
    modules = parts()
    check_optimizer_coverage(modules, {"all": sgd(*modules.values(), torch.nn.Linear(9, 9))})


def test_a_frozen_parameter_may_be_in_none_or_in_two():
    modules = parts()
    modules["embedder"].requires_grad_(False)
    modules["trunk"].bias.requires_grad_(False)
    optimizers = {
        "trunk_optimizer": torch.optim.SGD([modules["trunk"].weight], lr=0.1),
        "metric_loss_optimizer": sgd(modules["metric_loss"], modules["embedder"]),
        "embedder_optimizer": sgd(modules["embedder"]),
    }
    check_optimizer_coverage(modules, optimizers)


@pytest.mark.parametrize(
    ("loss", "parameter"),
    [
        (losses.ProxyAnchorLoss(4, 2), "metric_loss.proxies"),
        (losses.SoftTripleLoss(4, 2), "metric_loss.fc"),
        (HIERLoss(2, 8), "metric_loss.proxies"),
        (
            losses.MultipleLosses([losses.ContrastiveLoss(), HIERLoss(2, 8)]),
            r"metric_loss.losses.1.proxies",
        ),
    ],
    ids=["ProxyAnchor", "SoftTriple", "HIER", "MultipleLosses"],
)
def test_forgotten_proxies_are_named(loss, parameter):
    trunk = torch.nn.Linear(3, 2)
    expected = rf"^{parameter} is in no optimizer.* metric_loss_optimizer\)"
    with pytest.raises(ValueError, match=expected):
        check_optimizer_coverage({"trunk": trunk, "metric_loss": loss}, {"trunk": sgd(trunk)})


def test_two_forgotten_ones_are_named():
    loss = CHESTLoss(4, 2, 2, hierarchy_weight=1)
    with pytest.raises(ValueError, match=r"^loss.euclidean.fc, loss.hyperbolic.fc are in no"):
        check_optimizer_coverage({"loss": loss}, {})


@pytest.mark.parametrize(("count", "more"), [(3, ""), (4, " and 1 more"), (7, " and 4 more")])
def test_long_lists_are_cut(count, more):
    module = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(1)) for _ in range(count))
    with pytest.raises(ValueError, match=rf"^trunk.0, trunk.1, trunk.2{more} are in no optimizer"):
        check_optimizer_coverage({"trunk": module}, {})


def test_a_parameter_added_after_the_optimizer_was_built():
    modules = parts()
    optimizer = sgd(*modules.values())
    modules["trunk"].late = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match=r"^trunk.late is in no optimizer"):
        check_optimizer_coverage(modules, {"all": optimizer})


def test_a_replaced_parameter_is_not_the_one_in_the_optimizer():
    modules = parts()
    optimizer = sgd(*modules.values())
    modules["trunk"].bias = torch.nn.Parameter(modules["trunk"].bias.detach().clone())
    with pytest.raises(ValueError, match=r"^trunk.bias is in no optimizer"):
        check_optimizer_coverage(modules, {"all": optimizer})


def test_a_parameter_in_two_optimizers_is_named_with_both():
    modules = parts()
    optimizers = {"first": sgd(*modules.values()), "second": sgd(modules["metric_loss"])}
    expected = r"^metric_loss.proxies \(first and second\) is in two optimizers"
    with pytest.raises(ValueError, match=expected):
        check_optimizer_coverage(modules, optimizers)


def test_every_group_of_an_optimizer_counts():
    modules = parts()
    groups = [{"params": list(module.parameters()), "lr": 0.1} for module in modules.values()]
    check_optimizer_coverage(modules, {"all": torch.optim.SGD(groups)})
    with pytest.raises(ValueError, match=r"embedder.weight \(all and again\).* in two"):
        check_optimizer_coverage(
            modules, {"all": torch.optim.SGD(groups), "again": sgd(modules["embedder"])}
        )


def test_a_tied_parameter_needs_one_optimizer_only():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.weight, second.bias = first.weight, first.bias
    check_optimizer_coverage({"trunk": first, "embedder": second}, {"trunk": sgd(first)})
