"""Every loss, miner and wrapper of PML with the hyperbolic distances.

PML's classes are found by inspection: one that is neither in a list of what works nor among the
exceptions, each named with its reason, fails the test.
"""

import inspect

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.utils.inference import InferenceModel, MatchFinder

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity

CLASSES, SIZE = 5, 6
DISTANCE = pytest.param(PoincareDistance, id="distance")
SIMILARITY = pytest.param(PoincareSimilarity, id="similarity")
RAW_SIMILARITY = pytest.param(lambda: PoincareSimilarity(bounded=False), id="minus_distance")
ANY = (DISTANCE, SIMILARITY, RAW_SIMILARITY)


def batch(dtype=torch.float32):
    """20 embeddings, four a class, norms on both sides of the clip radius."""
    x = torch.randn(4 * CLASSES, SIZE, generator=torch.Generator().manual_seed(0))
    return x.to(dtype).requires_grad_(), torch.arange(CLASSES).repeat(4)


# Name -> (builder from a distance, kinds of distance that suit it).
LOSSES = {
    "ContrastiveLoss": (
        lambda d: losses.ContrastiveLoss(
            **({"pos_margin": 1, "neg_margin": 0} if d.is_inverted else {}), distance=d
        ),
        ANY,
    ),
    "GeneralizedLiftedStructureLoss": (
        lambda d: losses.GeneralizedLiftedStructureLoss(distance=d),
        ANY,
    ),
    # Bins the values of a similarity in [-1, 1].
    "HistogramLoss": (lambda d: losses.HistogramLoss(n_bins=20, distance=d), (SIMILARITY,)),
    "IntraPairVarianceLoss": (lambda d: losses.IntraPairVarianceLoss(distance=d), ANY),
    "LiftedStructureLoss": (lambda d: losses.LiftedStructureLoss(distance=d), ANY),
    # Treats whatever the distance returns as a non-negative similarity.
    "ManifoldLoss": (lambda d: losses.ManifoldLoss(l=SIZE, K=CLASSES, distance=d), (SIMILARITY,)),
    "MarginLoss": (
        lambda d: losses.MarginLoss(learn_beta=True, num_classes=CLASSES, distance=d),
        ANY,
    ),
    "MultiSimilarityLoss": (lambda d: losses.MultiSimilarityLoss(distance=d), ANY),
    "NCALoss": (lambda d: losses.NCALoss(distance=d), ANY),
    "NPairsLoss": (lambda d: losses.NPairsLoss(distance=d), ANY),
    "NTXentLoss": (lambda d: losses.NTXentLoss(temperature=0.2, distance=d), ANY),
    "NormalizedSoftmaxLoss": (
        lambda d: losses.NormalizedSoftmaxLoss(CLASSES, SIZE, distance=d),
        ANY,
    ),
    "ProxyAnchorLoss": (lambda d: losses.ProxyAnchorLoss(CLASSES, SIZE, distance=d), ANY),
    "ProxyNCALoss": (lambda d: losses.ProxyNCALoss(CLASSES, SIZE, distance=d), ANY),
    # Takes margins between distances and ignores is_inverted.
    "RankedListLoss": (lambda d: losses.RankedListLoss(margin=1, Tn=1, distance=d), (DISTANCE,)),
    "SoftTripleLoss": (
        lambda d: losses.SoftTripleLoss(CLASSES, SIZE, centers_per_class=2, distance=d),
        (SIMILARITY, RAW_SIMILARITY),
    ),
    "SupConLoss": (lambda d: losses.SupConLoss(distance=d), ANY),
    "TripletMarginLoss": (lambda d: losses.TripletMarginLoss(margin=0.5, distance=d), ANY),
}

NEEDS_OWN_DISTANCE = {
    "AngularLoss": (lambda d: losses.AngularLoss(distance=d), "LpDistance"),
    "ArcFaceLoss": (lambda d: losses.ArcFaceLoss(CLASSES, SIZE, distance=d), "CosineSimilarity"),
    "CircleLoss": (lambda d: losses.CircleLoss(distance=d), "CosineSimilarity"),
    "CosFaceLoss": (lambda d: losses.CosFaceLoss(CLASSES, SIZE, distance=d), "CosineSimilarity"),
    "DynamicSoftMarginLoss": (lambda d: losses.DynamicSoftMarginLoss(distance=d), "LpDistance"),
    "FastAPLoss": (lambda d: losses.FastAPLoss(distance=d), "LpDistance"),
    "InstanceLoss": (lambda d: losses.InstanceLoss(distance=d), "CosineSimilarity"),
    "LargeMarginSoftmaxLoss": (
        lambda d: losses.LargeMarginSoftmaxLoss(CLASSES, SIZE, distance=d),
        "CosineSimilarity",
    ),
    "PNPLoss": (lambda d: losses.PNPLoss(distance=d), "CosineSimilarity"),
    "SignalToNoiseRatioContrastiveLoss": (
        lambda d: losses.SignalToNoiseRatioContrastiveLoss(distance=d),
        "SNRDistance",
    ),
    "SmoothAPLoss": (lambda d: losses.SmoothAPLoss(distance=d), "CosineSimilarity"),
    "SphereFaceLoss": (
        lambda d: losses.SphereFaceLoss(CLASSES, SIZE, distance=d),
        "CosineSimilarity",
    ),
    "SubCenterArcFaceLoss": (
        lambda d: losses.SubCenterArcFaceLoss(num_classes=CLASSES, embedding_size=SIZE, distance=d),
        "CosineSimilarity",
    ),
    "ThresholdConsistentMarginLoss": (
        lambda d: losses.ThresholdConsistentMarginLoss(distance=d),
        "CosineSimilarity",
    ),
    "TupletMarginLoss": (lambda d: losses.TupletMarginLoss(distance=d), "CosineSimilarity"),
}

# Each has a test of its own below that shows the reason.
OTHER_EXCEPTIONS = {
    "P2SGradLoss": "ignores its distance",
    "VICRegLoss": "takes no distance",
    "BaseMetricLossFunction": "abstract",
    "GenericPairLoss": "abstract",
    "BaseLossWrapper": "a wrapper of a loss",
    "CrossBatchMemory": "a wrapper of a loss",
    "MultipleLosses": "a wrapper of losses",
    "SelfSupervisedLoss": "a wrapper of a loss",
    "EmbeddingRegularizerMixin": "a mixin",
    "WeightRegularizerMixin": "a mixin",
}

MINERS = {
    "BatchEasyHardMiner": lambda d: miners.BatchEasyHardMiner(distance=d),
    "BatchHardMiner": lambda d: miners.BatchHardMiner(distance=d),
    "HDCMiner": lambda d: miners.HDCMiner(distance=d),
    "MultiSimilarityMiner": lambda d: miners.MultiSimilarityMiner(distance=d),
    "PairMarginMiner": lambda d: miners.PairMarginMiner(
        **({"pos_margin": 0.8, "neg_margin": 0.2} if d.is_inverted else {}), distance=d
    ),
    "TripletMarginMiner": lambda d: miners.TripletMarginMiner(distance=d),
    "UniformHistogramMiner": lambda d: miners.UniformHistogramMiner(num_bins=10, distance=d),
}
MINER_EXCEPTIONS = {
    "AngularMiner": "LpDistance",
    "DistanceWeightedMiner": "LpDistance",
    "EmbeddingsAlreadyPackagedAsTriplets": "measures nothing",
    "BaseMiner": "abstract",
}


# PML 2.9's HistogramLoss indexes a matrix with a list of lists, which torch deprecates.
HISTOGRAM_WARNING = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")


def with_kinds(table):
    return [
        pytest.param(
            build,
            kind.values[0],
            id=f"{name}-{kind.id}",
            marks=[HISTOGRAM_WARNING] if name == "HistogramLoss" else [],
        )
        for name, (build, kinds) in table.items()
        for kind in kinds
    ]


def test_every_loss_of_pml_is_accounted_for():
    found = {name for name, _ in inspect.getmembers(losses, inspect.isclass)}
    listed = [*LOSSES, *NEEDS_OWN_DISTANCE, *OTHER_EXCEPTIONS]
    assert len(listed) == len(set(listed))
    assert found == set(listed)


def test_every_miner_of_pml_is_accounted_for():
    found = {name for name, _ in inspect.getmembers(miners, inspect.isclass)}
    assert found == {*MINERS, *MINER_EXCEPTIONS}


def call(loss_fn, embeddings, labels):
    if isinstance(loss_fn, losses.ManifoldLoss):  # takes meta classes in place of labels
        return loss_fn(embeddings, indices_tuple=labels)
    return loss_fn(embeddings, labels)


@pytest.mark.parametrize(("build", "kind"), with_kinds(LOSSES))
def test_loss_trains_embeddings_and_proxies(build, kind):
    embeddings, labels = batch()
    loss_fn = build(kind())
    parameters = list(loss_fn.parameters())
    before = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.SGD([embeddings, *parameters], lr=0.1)
    loss = call(loss_fn, embeddings, labels)
    assert torch.isfinite(loss)
    loss.backward()
    for tensor in (embeddings, *parameters):
        assert torch.isfinite(tensor.grad).all()
        assert float(tensor.grad.abs().sum()) > 0
    optimizer.step()
    for parameter, old in zip(parameters, before, strict=True):
        assert not torch.equal(parameter, old)
        assert parameter.dtype == torch.float32
    assert torch.isfinite(call(loss_fn, embeddings, labels))


@pytest.mark.parametrize(("build", "kind"), with_kinds(LOSSES))
def test_training_lowers_the_loss(build, kind):
    embeddings, labels = batch()
    loss_fn = build(kind())
    optimizer = torch.optim.Adam([embeddings, *loss_fn.parameters()], lr=0.03)
    history = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = call(loss_fn, embeddings, labels)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert min(history[-5:]) < history[0]
    assert torch.isfinite(embeddings).all()


@pytest.mark.parametrize(("build", "kind"), with_kinds(LOSSES))
def test_loss_survives_cpu_autocast_without_changing_a_dtype(build, kind):
    embeddings, labels = batch()
    loss_fn = build(kind())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = call(loss_fn, embeddings, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()
    assert {p.dtype for p in loss_fn.parameters()} <= {torch.float32}


@pytest.mark.parametrize(
    ("build", "kind"),
    with_kinds({name: entry for name, entry in LOSSES.items() if name != "HistogramLoss"}),
)
def test_loss_of_identical_embeddings_is_finite(build, kind):
    _, labels = batch()
    embeddings = torch.ones(len(labels), SIZE, requires_grad=True)
    loss = call(build(kind()), embeddings, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize(
    "name", [name for name, (build, _) in LOSSES.items() if "Proxy" in name or "Soft" in name]
)
def test_proxies_are_mapped_to_the_ball_whatever_their_size(name):
    embeddings, labels = batch()
    loss_fn = LOSSES[name][0](PoincareSimilarity())
    with torch.no_grad():
        for parameter in loss_fn.parameters():
            parameter.mul_(1e6)
    loss = loss_fn(embeddings, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("kind", [PoincareDistance, PoincareSimilarity])
@pytest.mark.parametrize(("build", "wanted"), NEEDS_OWN_DISTANCE.values(), ids=NEEDS_OWN_DISTANCE)
def test_loss_asserts_a_distance_class_of_its_own(build, wanted, kind):
    with pytest.raises(AssertionError, match=wanted):
        build(kind())


@HISTOGRAM_WARNING
@pytest.mark.parametrize("kind", [DISTANCE, RAW_SIMILARITY])
def test_histogram_loss_cannot_bin_an_unbounded_distance(kind):
    embeddings, labels = batch()
    with pytest.raises(RuntimeError, match="index"):
        losses.HistogramLoss(n_bins=20, distance=kind())(embeddings, labels)


@HISTOGRAM_WARNING
def test_histogram_loss_has_no_bin_for_a_similarity_of_exactly_one():
    # A limit of PML with any similarity: hence it is absent from the identical embeddings above.
    distance = pml_distances.DotProductSimilarity(normalize_embeddings=False)
    embeddings = torch.nn.functional.one_hot(torch.zeros(20, dtype=torch.long), SIZE).float()
    with pytest.raises(RuntimeError, match="out of bounds"):
        losses.HistogramLoss(n_bins=20, distance=distance)(embeddings, batch()[1])


def test_soft_triple_loss_needs_an_inverted_distance():
    with pytest.raises(AssertionError):
        losses.SoftTripleLoss(CLASSES, SIZE, distance=PoincareDistance())


def test_p2s_grad_loss_ignores_its_distance():
    embeddings, labels = batch()
    values = []
    for distance in (PoincareDistance(), pml_distances.LpDistance()):
        torch.manual_seed(1)
        values.append(losses.P2SGradLoss(SIZE, CLASSES, distance=distance)(embeddings, labels))
    assert torch.equal(*values)


def test_vicreg_loss_takes_no_distance():
    with pytest.raises(ValueError, match="cannot use a distance"):
        losses.VICRegLoss(distance=PoincareDistance())


def test_abstract_losses_compute_nothing():
    embeddings, labels = batch()
    with pytest.raises(NotImplementedError):
        losses.BaseMetricLossFunction(distance=PoincareDistance())(embeddings, labels)


@pytest.mark.parametrize("kind", ANY)
@pytest.mark.parametrize("build", MINERS.values(), ids=MINERS)
@pytest.mark.parametrize("with_reference", [False, True])
def test_miner_mines_legal_indices(build, kind, with_reference):
    embeddings, labels = batch()
    references = torch.randn(15, SIZE) if with_reference else None
    ref_labels = torch.arange(15) % CLASSES if with_reference else None
    mined = build(kind())(embeddings, labels, references, ref_labels)
    others = labels if ref_labels is None else ref_labels
    if len(mined) == 3:
        anchors, positives, negatives = mined
        negative_anchors = anchors
    else:
        anchors, positives, negative_anchors, negatives = mined
    assert len(anchors) + len(negative_anchors) > 0
    assert (labels[anchors] == others[positives]).all()
    assert (labels[negative_anchors] != others[negatives]).all()


@pytest.mark.parametrize("name", ["BatchHardMiner", "BatchEasyHardMiner", "HDCMiner"])
def test_ranking_miners_choose_alike_by_distance_and_by_similarity(name):
    embeddings, labels = batch(torch.float64)
    by_distance = MINERS[name](PoincareDistance())(embeddings, labels)
    by_similarity = MINERS[name](PoincareSimilarity())(embeddings, labels)
    for mine, other in zip(by_distance, by_similarity, strict=True):
        assert torch.equal(mine.sort().values, other.sort().values)


def test_batch_hard_miner_finds_the_hardest_in_hyperbolic_distance():
    embeddings, labels = batch(torch.float64)
    distance = PoincareDistance()
    d = distance(embeddings).detach()
    anchors, positives, negatives = miners.BatchHardMiner(distance=distance)(embeddings, labels)
    same = labels.unsqueeze(1) == labels
    hardest_positive = d.masked_fill(~same, -1).argmax(1)
    hardest_negative = d.masked_fill(same, torch.inf).argmin(1)
    assert torch.equal(positives, hardest_positive[anchors])
    assert torch.equal(negatives, hardest_negative[anchors])


@pytest.mark.parametrize("name", ["AngularMiner", "DistanceWeightedMiner"])
def test_miner_asserts_a_distance_class_of_its_own(name):
    with pytest.raises(AssertionError, match=MINER_EXCEPTIONS[name]):
        getattr(miners, name)(distance=PoincareDistance())


@pytest.mark.parametrize("kind", ANY)
@pytest.mark.parametrize(
    "name",
    [name for name in losses.CrossBatchMemory.supported_losses() if name in LOSSES],
)
@pytest.mark.parametrize("with_miner", [False, True])
def test_cross_batch_memory_keeps_raw_embeddings_and_trains(name, kind, with_miner):
    distance = kind()
    miner = miners.MultiSimilarityMiner(distance=distance) if with_miner else None
    memory = losses.CrossBatchMemory(LOSSES[name][0](distance), SIZE, memory_size=50, miner=miner)
    total = 0.0
    for step in range(3):
        embeddings, labels = batch()
        embeddings = (embeddings.detach() + 0.1 * step).requires_grad_()
        loss = memory(embeddings, labels)
        assert torch.isfinite(loss)
        loss.backward()
        assert torch.isfinite(embeddings.grad).all()
        total += float(embeddings.grad.abs().sum())
    assert total > 0
    assert torch.equal(memory.embedding_memory[20:40], (batch()[0] + 0.1).detach())


@pytest.mark.parametrize("kind", ANY)
def test_multiple_losses_share_one_distance(kind):
    distance = kind()
    parts = [
        losses.ProxyAnchorLoss(CLASSES, SIZE, distance=distance),
        losses.MultiSimilarityLoss(distance=distance),
    ]
    embeddings, labels = batch()
    combined = losses.MultipleLosses(
        parts, weights=[1, 0.5], miners=[None, miners.MultiSimilarityMiner(distance=distance)]
    )
    loss = combined(embeddings, labels)
    mined = miners.MultiSimilarityMiner(distance=distance)(embeddings, labels)
    expected = parts[0](embeddings, labels) + 0.5 * parts[1](embeddings, labels, mined)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert float(parts[0].proxies.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", ANY)
def test_self_supervised_loss_pairs_two_views(kind):
    embeddings, _ = batch()
    views = (embeddings + 0.01).detach()
    loss = losses.SelfSupervisedLoss(losses.NTXentLoss(distance=kind()))(embeddings, views)
    loss.backward()
    assert torch.isfinite(loss)
    assert float(embeddings.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", ANY)
def test_losses_compare_with_separate_references(kind):
    embeddings, labels = batch()
    references = torch.randn(9, SIZE, requires_grad=True)
    loss_fn = losses.TripletMarginLoss(margin=3, distance=kind())
    loss = loss_fn(embeddings, labels, ref_emb=references, ref_labels=torch.arange(9) % CLASSES)
    loss.backward()
    assert float(embeddings.grad.abs().sum()) > 0
    assert float(references.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", ANY)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batched_distance_gives_the_same_matrix(kind, batch_size):
    queries, references = torch.randn(20, SIZE).double(), torch.randn(11, SIZE).double()
    distance, pieces = kind(), []
    batched = pml_distances.BatchedDistance(
        distance, lambda mat, start, end: pieces.append(mat), batch_size
    )
    batched(queries, references)
    torch.testing.assert_close(
        torch.cat(pieces), distance(queries, references), rtol=1e-9, atol=1e-9
    )
    assert batched.is_inverted == distance.is_inverted


@pytest.mark.parametrize("kind", ANY)
def test_match_finder_agrees_with_itself_on_raw_vectors(kind):
    distance = kind()
    x, y = torch.randn(20, SIZE).double(), torch.randn(20, SIZE).double()
    values = distance(x, y)
    threshold = float(values.median())
    finder = MatchFinder(distance=distance, threshold=threshold)
    matrix = torch.from_numpy(finder.get_matching_pairs(x, y))
    pairs = torch.from_numpy(finder.is_match(x, y))
    assert 0 < int(matrix.sum()) < matrix.numel()
    assert torch.equal(matrix.diagonal(), pairs)
    closer = values >= threshold if distance.is_inverted else values <= threshold
    assert torch.equal(matrix, closer)


@pytest.mark.parametrize("kind", ANY)
def test_match_finder_takes_single_and_broadcast_rows(kind):
    distance, e = kind(), torch.randn(20, SIZE).double()
    values = distance(e)
    threshold = float(values.median())
    finder = MatchFinder(distance=distance, threshold=threshold)
    matches = values >= threshold if distance.is_inverted else values <= threshold
    assert finder.is_match(e[:1], e).tolist() == matches[0].tolist()
    assert finder.is_match(e[0], e).tolist() == matches[0].tolist()
    assert finder.is_match(e[0], e[1]) is bool(matches[0, 1])


@pytest.mark.parametrize("kind", ANY)
def test_inference_model_matches_without_normalising(kind):
    distance = kind()
    near = -0.5 if distance.is_inverted else 0.5
    if kind is PoincareSimilarity:
        near = 1 - 2 * 0.5 / 9.2
    model = InferenceModel(
        torch.nn.Identity(),
        match_finder=MatchFinder(distance=distance, threshold=near),
        normalize_embeddings=False,
        knn_func=lambda query, k: None,
        data_device="cpu",
    )
    x = torch.tensor([[0.2, 0.0], [2.0, 0.0], [0.25, 0.0]])  # one direction, different radii
    assert model.is_match(x[:1], x[2:])
    assert not model.is_match(x[:1], x[1:2])
    assert model.get_matches(x).tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]
