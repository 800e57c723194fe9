"""The line that every comparison needs: what the networks score before any training."""

from typing import Any

import torch

from ..assembly.evaluation import make_tester
from ..assembly.models import build_embedder, build_trunk, choose_device
from ..assembly.protocol_data import ProtocolData
from ..assembly.seeding import seed_everything
from ..datasets import keep_batch
from .run_scores import EmbeddedTestSet, score_test


def untrained_scores(data: ProtocolData) -> list[dict[str, Any]]:
    """Score the test classes with the networks as runs start, by cosine similarity.

    Two embeddings are scored: the features of the trunk at their full dimension, and those of an
    untrained head of the protocol's ``embedding_size`` on them. Both start from the protocol's
    first seed, as the runs of that seed do. A method that scores less than either has learned
    nothing that helps to tell the test classes apart.

    Args:
        data: of the protocol.

    Returns:
        For each of the two: ``name``, ``dimension``, ``test`` (metric -> value) and
        ``test_levels`` (name of a coarser level -> metric -> value).
    """
    protocol = data.protocol
    device, seed = choose_device(protocol.device), protocol.seeds[0]
    seed_everything(seed)
    trunk = build_trunk(protocol.backbone, data.channels, device).eval()
    fold = data.fold(protocol.folds[0])
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
            {
                "name": name,
                "dimension": dimension,
                "test": scores.test["euclidean"],
                "test_levels": scores.levels["euclidean"],
            }
        )
    return lines
