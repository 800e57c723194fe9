"""The line that every comparison needs: what the networks score before any training."""

import math
from collections.abc import Sequence

import torch

from ..assembly.evaluation import make_tester
from ..assembly.models import build_embedder, choose_device
from ..assembly.protocol_data import ProtocolData
from ..assembly.seeding import seed_everything
from ..datasets import keep_batch
from ..results.untrained_scores import UNTRAINED_HEAD, UNTRAINED_TRUNK, UntrainedScores
from .run_scores import EmbeddedTestSet, score_test


def untrained_scores(
    data: ProtocolData, known: Sequence[UntrainedScores] = ()
) -> list[UntrainedScores]:
    """Score the test classes with the networks as runs start, by cosine similarity.

    Two embeddings are scored: the features of the trunk at their full dimension, and those of an
    untrained head of the protocol's ``embedding_size`` on them. Both start as the runs of each
    seed do. A method that scores less than either has learned nothing that helps to tell the test
    classes apart.

    Args:
        data: of the protocol.
        known: what was scored before. Default: nothing.

    Returns:
        For each fold the trunk, for each seed or, where all seeds start from the same weights, for
        the first only, and the head for each seed; before them what is known of other folds and
        seeds. Folds with the same test classes are scored once.
    """
    lines: list[UntrainedScores] = []
    scored: dict[tuple[int, ...], list[UntrainedScores]] = {}
    for fold in data.protocol.folds:
        classes = tuple(data.fold(fold).classes.test)
        if classes not in scored:
            scored[classes] = _scores(data, fold)
        lines += [line.model_copy(update={"fold": fold}) for line in scored[classes]]
    runs = {(line.fold, line.seed) for line in lines}
    kept = [line for line in known if (line.fold, line.seed) not in runs]
    return kept + [line for line in lines if not _is_known_trunk(line, kept)]


def _is_known_trunk(line, kept):
    """Whether another seed started from the same weights."""
    return line.name == UNTRAINED_TRUNK and any(
        line == other.model_copy(update={"seed": line.seed}) for other in kept
    )


def _scores(data, number):
    """Score one fold: the trunk's images are embedded anew only where its weights differ."""
    protocol, device = data.protocol, choose_device(data.protocol.device)
    fold = data.fold(number)
    lines, weights = [], None

    def scored(name, seed, embeddings, labels, subset):
        tester = make_tester(
            {"euclidean": embeddings.shape[1]}, None, protocol.evaluation, device=device
        )
        test_set = EmbeddedTestSet(embeddings, labels, subset.indices, fold.query, fold.gallery)
        scores = score_test(tester.accuracy_calculator.spaces, test_set, data.level_names)
        return UntrainedScores(
            name=name,
            fold=number,
            seed=seed,
            dimension=embeddings.shape[1],
            test=scores.test["euclidean"],
            test_levels={
                level: {metric: value for metric, value in of.items() if not math.isnan(value)}
                for level, of in scores.levels["euclidean"].items()
            },
        )

    for seed in protocol.seeds:
        seed_everything(seed)
        trunk = data.trunk(device).eval()
        if weights is None or not _equal(weights, trunk.state_dict()):
            weights = trunk.state_dict()
            subset = fold.subsets(trunk.mean, trunk.std, device)["test"]
            tester = make_tester(
                {"euclidean": trunk.out_features}, None, protocol.evaluation, device=device
            )
            features, labels = tester.get_all_embeddings(
                subset, trunk, torch.nn.Identity(), keep_batch
            )
            lines.append(scored(UNTRAINED_TRUNK, seed, features, labels, subset))
        seed_everything(seed)
        head = build_embedder(
            trunk.out_features, {"euclidean": protocol.embedding_size}, initial_radius=None
        ).to(device)
        embeddings = _in_batches(head.eval(), features, protocol.evaluation.batch_size)
        lines.append(scored(UNTRAINED_HEAD, seed, embeddings, labels, subset))
    return lines


def _equal(weights, others):
    return all(torch.equal(weights[name], value) for name, value in others.items())


@torch.no_grad()
def _in_batches(head, features, size):
    return torch.cat([head(batch) for batch in features.split(size)])
