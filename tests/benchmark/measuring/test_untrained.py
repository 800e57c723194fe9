"""Untrained networks are scored as their embeddings rank the test classes."""

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.models import build_trunk
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.assembly.seeding import seed_everything
from pml_hyperbolic.benchmark.measuring.untrained import untrained_scores


def test_scores_against_sorting(load):
    data = ProtocolData(load().protocol)
    lines = untrained_scores(data)
    trunk_line, head_line, *others = lines
    assert (trunk_line.name, head_line.name) == ("untrained trunk", "untrained head")
    # The small network starts at random: both seeds have a trunk of their own.
    assert [line.seed for line in lines] == [0, 0, 1, 1]
    assert all(line.test != first.test for line, first in zip(others, lines, strict=False))
    assert head_line.dimension == 8
    device = torch.device("cpu")
    seed_everything(0)
    trunk = build_trunk(data.protocol.backbone, data.channels, device).eval()
    assert trunk_line.dimension == trunk.out_features
    subset = data.fold(0).subsets(trunk.mean, trunk.std, device)["test"]
    images, labels = subset.__getitems__(list(range(len(subset))))
    with torch.no_grad():
        unit = torch.nn.functional.normalize(trunk(images))
    similarity = (unit @ unit.T).fill_diagonal_(-2)
    nearest = labels[similarity.argmax(1), 0]
    expected = float((nearest == labels[:, 0]).double().mean())
    assert trunk_line.test["precision_at_1"] == pytest.approx(expected, abs=1e-3)


def test_folds_with_the_same_test_classes_are_scored_once(load, monkeypatch):
    from pml_hyperbolic.benchmark.measuring import untrained

    calls = []
    score = untrained._scores
    monkeypatch.setattr(untrained, "_scores", lambda *args: calls.append(args) or score(*args))
    data = ProtocolData(
        load(
            "protocol.splits={folds: 2, test: second_half}", "protocol.sampler.batch_size=8"
        ).protocol
    )
    lines = untrained_scores(data)
    assert [line.fold for line in lines] == [0] * 4 + [1] * 4
    assert lines[0].test == lines[4].test
    assert len(calls) == 1


def test_trunks_with_the_same_weights_are_scored_once(load, monkeypatch):
    # Fewer dimensions than features: a head of more keeps all angles, whatever its seed is.
    data = ProtocolData(load("protocol.embedding_size=2").protocol)
    seed_everything(5)
    trunk = build_trunk(data.protocol.backbone, data.channels, torch.device("cpu"))
    monkeypatch.setattr(data, "trunk", lambda device: trunk)
    lines = untrained_scores(data)
    assert [(line.name.split()[1], line.seed) for line in lines] == [
        ("trunk", 0),
        ("head", 0),
        ("head", 1),
    ]
    assert lines[1].test != lines[2].test


@pytest.mark.parametrize("same_start", [False, True])
def test_the_scores_of_other_seeds_are_kept(load, monkeypatch, same_start):
    # Fewer dimensions than features: a head of more keeps all angles, whatever its seed is.
    both = load("protocol.embedding_size=2").protocol
    trunk = build_trunk(both.backbone, 1, torch.device("cpu"))

    def data(*seeds):
        made = ProtocolData(both.model_copy(update={"seeds": list(seeds)}))
        if same_start:
            monkeypatch.setattr(made, "trunk", lambda device: trunk)
        return made

    first = untrained_scores(data(0, 1))
    assert untrained_scores(data(2), first) == untrained_scores(data(0, 1, 2))
    # What is scored anew takes the place of what is known.
    stale = [line.model_copy(update={"dimension": 1}) for line in first]
    assert untrained_scores(data(0, 1), stale) == first
