"""The line that every comparison needs: what the networks score before any training."""

import math

import torch

from ..assembly.evaluation import make_tester
from ..assembly.models import build_embedder, choose_device
from ..assembly.protocol_data import ProtocolData
from ..assembly.seeding import seed_everything
from ..datasets import keep_batch
from ..results.untrained_scores import UntrainedScores
from .run_scores import EmbeddedTestSet, score_test


def untrained_scores(data: ProtocolData) -> list[UntrainedScores]:
    """Score the test classes with the networks as runs start, by cosine similarity.

    Two embeddings are scored: the features of the trunk at their full dimension, and those of an
    untrained head of the protocol's ``embedding_size`` on them. Both start from the protocol's
    first seed, as the runs of that seed do. A method that scores less than either has learned
    nothing that helps to tell the test classes apart.

    Args:
        data: of the protocol.

    Returns:
        Two lines for each fold. Folds with the same test classes are scored once.
    """
    lines: list[UntrainedScores] = []
    scored: dict[tuple[int, ...], list[UntrainedScores]] = {}
    for fold in data.protocol.folds:
        classes = tuple(data.fold(fold).classes.test)
        if classes not in scored:
            scored[classes] = _scores(data, fold)
        lines += [line.model_copy(update={"fold": fold}) for line in scored[classes]]
    return lines


def _scores(data, number):
    protocol = data.protocol
    device, seed = choose_device(protocol.device), protocol.seeds[0]
    seed_everything(seed)
    trunk = data.trunk(device).eval()
    fold = data.fold(number)
    subset = fold.subsets(trunk.mean, trunk.std, device)["test"]
    seed_everything(seed)
    head = build_embedder(
        trunk.out_features, {"euclidean": protocol.embedding_size}, initial_radius=None
    ).to(device)
    parts = (
        ("untrained trunk", trunk.out_features, torch.nn.Identity()),
        ("untrained head", protocol.embedding_size, head.eval()),
    )
    lines = []
    for name, dimension, embedder in parts:
        tester = make_tester({"euclidean": dimension}, None, protocol.evaluation, device=device)
        embeddings, labels = tester.get_all_embeddings(subset, trunk, embedder, keep_batch)
        test_set = EmbeddedTestSet(embeddings, labels, subset.indices, fold.query, fold.gallery)
        scores = score_test(tester.accuracy_calculator.spaces, test_set, data.level_names)
        lines.append(
            UntrainedScores(
                name=name,
                fold=number,
                dimension=dimension,
                test=scores.test["euclidean"],
                test_levels={
                    level: {metric: value for metric, value in of.items() if not math.isnan(value)}
                    for level, of in scores.levels["euclidean"].items()
                },
            )
        )
    return lines
