"""The rule by which the gradients of processes become those of one, without processes."""

import torch

import pml_hyperbolic.utils
from pml_hyperbolic.distributed import DistributedLoss
from pml_hyperbolic.distributed.gradients import multiply_gradient, synchronize_gradients


def test_only_the_gradient_is_multiplied():
    x = torch.randn(4, 3, requires_grad=True)
    y = multiply_gradient(x, 3)
    assert torch.equal(x, y)
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, 3 * 2 * x.detach())


def test_the_mean_of_multiplied_shares_is_the_gradient_of_the_whole_batch():
    weight = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(6, 3, dtype=torch.float64)

    def loss(rows):
        return torch.cdist(rows, rows).square().sum()

    (expected,) = torch.autograd.grad(loss(x @ weight), weight)
    shares = []
    for own in (slice(0, 2), slice(2, 6)):
        rows = [(x[part] @ weight).detach() for part in (slice(0, 2), slice(2, 6))]
        rows[own.start > 0] = multiply_gradient(x[own] @ weight, 2)
        shares += torch.autograd.grad(loss(torch.cat(rows)), weight)
    torch.testing.assert_close(sum(shares) / 2, expected)


def test_one_process_keeps_its_gradients():
    module = torch.nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    handles = synchronize_gradients(module)
    assert len(handles) == 1
    module(torch.ones(1, 2)).sum().backward()
    assert torch.equal(module.weight.grad, torch.ones(1, 2))


def test_the_old_import_path_of_distributed_loss_works():
    assert pml_hyperbolic.utils.DistributedLoss is DistributedLoss
    from pml_hyperbolic.utils import DistributedLoss as again

    assert again is DistributedLoss
