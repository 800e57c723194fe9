"""FiniteCheck: which tensor was the first to become non-finite, and at which step."""

import pytest
import torch

from pml_hyperbolic.trainers import FiniteCheck, NonFiniteError

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
)
DEVICES = ["cpu", CUDA]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_one_bad_element_is_noticed(bad, dtype, device):
    values = torch.zeros(3, 4, dtype=dtype, device=device, requires_grad=True)
    check = FiniteCheck()
    assert check.update("loss", values, 0)
    assert check.first_bad() is None
    values.data[1, 2] = bad
    known_good = check.update("loss", values, 7)
    assert known_good == (device == "cuda")  # on CUDA nothing waits for the answer
    assert check.first_bad() == ("loss", 7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("a", 1.0, 0), ("b", 1.0, 0)], None),
        ([("a", NAN, 0), ("a", 1.0, 1)], ("a", 0)),
        ([("a", NAN, 3), ("a", NAN, 4)], ("a", 3)),
        ([("a", 1.0, 2), ("b", NAN, 2), ("a", NAN, 3)], ("b", 2)),
        ([("a", NAN, 2), ("b", NAN, 2)], ("a", 2)),
        ([("b", NAN, 2), ("a", NAN, 2)], ("b", 2)),
    ],
    ids=["none", "recovered", "stays", "other first", "same step", "same step, other order"],
)
def test_the_earliest_is_the_cause(steps, expected, device):
    check = FiniteCheck()
    for name, value, step in steps:
        check.update(name, torch.tensor(value, device=device), step)
    assert check.first_bad() == expected
    assert check.first_bad() == expected  # looking changes nothing


def test_nothing_seen_and_nothing_in_it():
    check = FiniteCheck()
    assert check.first_bad() is None
    assert check.update("embeddings", torch.empty(0, 4), 0)
    assert check.first_bad() is None


def test_non_finite_error_is_a_runtime_error():
    assert issubclass(NonFiniteError, RuntimeError)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("value", [0.0, NAN])
def test_update_does_not_synchronise_cuda(value):
    values, check = torch.full((8,), value, device="cuda"), FiniteCheck()
    check.update("loss", values, 0)  # allocations of a first call
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 2):
            check.update("loss", values, step)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert check.first_bad() == (None if value == 0 else ("loss", 0))
