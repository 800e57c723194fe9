"""The trainer in several processes computes what it computes in one, whatever their number."""

import random

import pytest
import torch

from pml_hyperbolic.distributed.joining import synchronize_batch_norm
from pml_hyperbolic.distributed.rank_share import RankShare
from tests.distributed import joining_cases as cases
from tests.processes import in_processes

TOLERANCE = 1e-10


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Results of two ranks."""
    return in_processes(cases.everything, 2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Results of three ranks."""
    return in_processes(cases.everything, 3, tmp_path_factory.mktemp("three"))


@pytest.fixture(params=["two", "three"])
def ranks(request):
    """Results of the ranks of a job."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", cases.CASES)
def test_as_one_process(ranks, name):
    expected = cases.trained(name)
    assert len(set(expected["losses"])) == 2 * cases.STEPS
    for result in ranks:
        found = result[name]
        assert found["losses"] == pytest.approx(expected["losses"], rel=TOLERANCE)
        for ours, theirs in zip(found["norms"], expected["norms"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-8)
        for ours, theirs in zip(found["parameters"], expected["parameters"], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=TOLERANCE)


@pytest.mark.parametrize("name", cases.CASES)
def test_ranks_agree_to_the_last_bit(ranks, name):
    first, *others = (result[name] for result in ranks)
    for other in others:
        assert first["losses"] == other["losses"]
        assert first["norms"] == other["norms"]
        for ours, theirs in zip(first["parameters"], other["parameters"], strict=True):
            assert torch.equal(ours, theirs)


def test_states_have_the_names_of_one_process(two):
    assert two[0]["CHEST"]["keys"] == ["1.weight", "1.bias", "1.idle"]


def test_what_several_processes_cannot_train_is_refused_on_every_rank(two):
    assert two[0]["refusals"] == two[1]["refusals"]
    batch_norm, parallel, ours, theirs, miner, batch = two[0]["refusals"]
    assert "models['trunk'] would take the statistics of each process's share" in batch_norm
    assert "models['trunk'] is in DistributedDataParallel" in parallel
    assert "loss_funcs['metric_loss'] is in DistributedLoss:" in ours
    assert "loss_funcs['metric_loss'] is in DistributedLossWrapper:" in theirs
    assert "subset_batch_miner" in miner
    assert "a batch of 1 cannot be shared by 2 processes" in batch


def test_divergence_of_one_rank_stops_all_at_the_same_step(two):
    assert two[0]["divergence"] == two[1]["divergence"]
    embeddings, loss = two[0]["divergence"]
    assert "embeddings became NaN or infinite at step 0" in embeddings
    assert "loss became NaN or infinite at step 2" in loss


def test_ranks_share_the_batches_of_rank_0(two):
    first, second = (result["plain dataset"] for result in two)
    random.seed(0)
    order = random.sample(range(60), 30)
    assert first == order[:7] + order[15:22]
    assert second == order[7:15] + order[22:30]


def test_batch_norm_is_synchronised_on_cuda_with_the_same_parameters():
    plain = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    frozen = torch.nn.Sequential(torch.nn.BatchNorm1d(2)).eval()
    models = {"trunk": plain, "embedder": frozen}
    before = {name: list(model.state_dict()) for name, model in models.items()}
    parameters = list(plain.parameters())
    synchronize_batch_norm(models, torch.device("cuda"))
    assert isinstance(models["trunk"][1], torch.nn.SyncBatchNorm)
    assert models["embedder"] is frozen
    assert not isinstance(frozen[0], torch.nn.SyncBatchNorm)
    assert {name: list(model.state_dict()) for name, model in models.items()} == before
    for ours, theirs in zip(models["trunk"].parameters(), parameters, strict=True):
        assert ours is theirs


def test_timms_batch_norms_keep_their_activation():
    layers = pytest.importorskip("timm.layers")
    models = {"trunk": torch.nn.Sequential(layers.BatchNormAct2d(2))}
    synchronize_batch_norm(models, torch.device("cuda"))
    norm = models["trunk"][0]
    assert isinstance(norm, torch.nn.SyncBatchNorm)
    assert isinstance(norm.act, torch.nn.ReLU)


def test_one_process_has_the_whole_share():
    items = RankShare(list("abcd"))
    assert len(items) == 4
    assert items.__getitems__([2, 0]) == ["c", "a"]
