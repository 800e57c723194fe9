"""DistributedLoss: several processes compute what one computes on the same batch."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses, miners

from pml_hyperbolic.utils import DistributedLoss
from tests.distributed import distributed_cases as cases
from tests.processes import in_processes, seed_all

TOLERANCE = 1e-10


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Results of two ranks."""
    return in_processes(cases.everything, 2, tmp_path_factory.mktemp("two") / "a")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Results of three ranks, whose shares of a batch are uneven."""
    return in_processes(cases.everything, 3, tmp_path_factory.mktemp("three") / "a")


@pytest.fixture(params=["two", "three"])
def ranks(request):
    """Results of the ranks of a job."""
    return request.getfixturevalue(request.param)


def assert_close(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", cases.CASES)
def test_as_one_process(ranks, name):
    expected = cases.compute(cases.CASES[name])
    assert all(np.isfinite(expected["losses"]))
    assert any(g.abs().max() > 0 for g in expected["gradients"])
    for result in ranks:
        found = result["all_cases"][name]
        np.testing.assert_allclose(found["losses"], expected["losses"], rtol=TOLERANCE)
        for part in ("gradients", "parameters", "buffers"):
            assert_close(found[part], expected[part])


@pytest.mark.parametrize("name", cases.CASES)
def test_ranks_agree_to_the_last_bit(ranks, name):
    first, *others = (result["all_cases"][name] for result in ranks)
    for other in others:
        assert first["losses"] == other["losses"]
        for part in ("gradients", "parameters", "buffers"):
            for ours, theirs in zip(first[part], other[part], strict=True):
                assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", cases.CASES)
def test_rank_0_draws_as_if_alone_and_the_others_keep_their_numbers(two, name):
    first, second = (result["all_cases"][name]["random numbers"] for result in two)
    assert first == cases.compute(cases.CASES[name])["random numbers"]
    assert second == two[1]["without_sharing"] != two[0]["without_sharing"]


def test_stochastic_cases_draw_something():
    untouched = cases.without_sharing()
    for name in ("MultiSimilarity and HIER", "CHEST", "Triplets drawn by the loss", "Drawing"):
        assert cases.compute(cases.CASES[name])["random numbers"] != untouched


def test_gradients_are_those_of_rank_0_also_of_a_copy(two):
    first, second = (result["gradients_of_a_copy"] for result in two)
    assert first[0].abs().max() > 0
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours, theirs)


def test_references_are_gathered_too(two):
    value, query, reference = cases.references()
    for result in two:
        assert result["references"][0] == pytest.approx(value, rel=TOLERANCE)
    assert_close([torch.cat([r["references"][1] for r in two])], [query])
    assert_close([torch.cat([r["references"][2] for r in two])], [reference])


def test_a_loss_without_labels(two):
    for result in two:
        assert result["self_supervised"] == pytest.approx(cases.self_supervised(), rel=TOLERANCE)


def test_the_mask_of_a_memory_goes_with_its_rows(two):
    value, position, memory = cases.enqueue_mask()
    for result in two:
        assert result["enqueue_mask"][0] == pytest.approx(value, rel=TOLERANCE)
        assert result["enqueue_mask"][1] == position
        assert torch.equal(result["enqueue_mask"][2], memory)


def test_what_does_not_fit_together_is_refused_on_every_rank(two):
    assert (
        two[0]["refusals"]
        == two[1]["refusals"]
        == [
            "every process must pass tensors with the same trailing sizes and dtypes, got "
            "(N, 3) torch.float32, (N,) torch.float32, None on rank 0 and "
            "(N, 4) torch.float32, (N,) torch.float32, None on rank 1",
            "every process must pass tensors with the same trailing sizes and dtypes, got "
            "(N, 3) torch.float32, (N,) torch.float32, None on rank 0 and "
            "(N, 3) torch.float32, None, None on rank 1",
        ]
    )


def test_a_replaced_numpy_source_is_shared_too(two):
    alone = cases.a_generator_in_place_of_numpy()
    for found, expected in zip(two[0]["a_generator_in_place_of_numpy"], alone, strict=True):
        assert found == pytest.approx(expected)
    for (value, kept), (expected, _), fresh in zip(
        two[1]["a_generator_in_place_of_numpy"],
        alone,
        (np.random.default_rng(1), np.random.RandomState(1)),
        strict=True,
    ):
        assert value == pytest.approx(expected)
        assert kept == fresh.random()


def test_ranks_wait_for_rank_0_however_long_it_takes(two):
    assert [result["patience"] for result in two] == ["of rank 0"] * 2


def test_one_process_computes_the_plain_loss():
    build = cases.CASES["MultiSimilarity and HIER"]
    x, labels = cases.batch(0)
    x = torch.nn.functional.pad(x, (0, cases.SIZE - x.shape[1]))
    values = []
    for wrap in (lambda loss: loss, DistributedLoss):
        seed_all(0)
        values.append(wrap(build()[0])(x, labels))
    assert torch.equal(*values)


def test_a_miner_and_indices_are_refused():
    loss = DistributedLoss(losses.TripletMarginLoss(), miners.TripletMarginMiner())
    x, labels = cases.batch(0)
    with pytest.raises(ValueError, match="leave one of them out"):
        loss(x, labels, (torch.tensor([0]),) * 3)


def test_state_dict_is_that_of_the_loss_below_one_name():
    loss = losses.ProxyAnchorLoss(3, 4)
    assert list(DistributedLoss(loss).state_dict()) == ["loss.proxies"]
