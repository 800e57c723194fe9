"""Imports the core of pml_hyperbolic, trains every part of it for one step and prints what it got.

It runs against whichever pytorch-metric-learning is importable: the tests run it against the
installed one and against the stand-in for PML 3, and compare the numbers. Where the real PML 3 is
installed, ``python tests/pml3/core_check.py`` does the check that the stand-in cannot.
"""

import importlib
import json
import tempfile
import warnings

import torch

CORE = (
    "functional",
    "distances",
    "losses",
    "regularizers",
    "heads",
    "utils",
    "embedder.embedder",
    "embedder.image_index",
    "analysis",
    "distributed",
)
SIZE, CLASSES = 6, 4


def main():
    # geoopt and torch warn of each other when they are imported.
    warnings.simplefilter("ignore")
    for module in CORE:
        importlib.import_module(f"pml_hyperbolic.{module}")
    found = {}
    for check in (distances, losses, regularizers, retrieval, calculators, saved_models):
        torch.manual_seed(0)
        found.update(check())
    print(json.dumps(found))


def batch():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(CLASSES).repeat(4)
    centers = torch.randn(CLASSES, SIZE, generator=generator)
    return centers[labels] + 2 * torch.randn(len(labels), SIZE, generator=generator), labels


def trained(loss, lowers=True, **options):
    """The loss of a batch before and after a step along its gradient, which moves every parameter.

    It ``lowers`` the loss, except that of HIER, whose ancestors jump from proxy to proxy.
    """
    rows, labels = batch()
    model = torch.nn.Linear(SIZE, SIZE)
    with torch.no_grad():
        model.weight.copy_(torch.eye(SIZE))
        model.bias.zero_()
    parameters = [*model.parameters(), *loss.parameters()]
    before = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    values = []
    for _ in range(2):
        torch.manual_seed(2)  # of triplets and Gumbel noise
        value = loss(model(rows), labels, **options)
        values.append(value.item())
        if len(values) == 1:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    still = [i for i, (old, p) in enumerate(zip(before, parameters, strict=True)) if old.equal(p)]
    assert not still, f"parameters {still} of {type(loss).__name__} did not move"
    if lowers:
        assert values[1] < values[0], f"{type(loss).__name__} went from {values[0]} to {values[1]}"
    return values


def contrastive(**options):
    """PML's ContrastiveLoss, with one reducer: its default one is not that of every generation."""
    from pytorch_metric_learning.losses import ContrastiveLoss
    from pytorch_metric_learning.reducers import MeanReducer

    return ContrastiveLoss(reducer=MeanReducer(), **options)


def distances():
    from pytorch_metric_learning.miners import PairMarginMiner

    from pml_hyperbolic.distances import (
        PoincareDistance,
        PoincareSimilarity,
        RiemannianCosineSimilarity,
    )

    rows, labels = batch()
    scaled = PoincareDistance(riemannian_gradient=True)
    kinds = {
        "poincare": PoincareDistance(c=0.3),
        "smooth": PoincareDistance(clip="smooth", power=2),
        "similarity": PoincareSimilarity(),
        "riemannian_cosine": RiemannianCosineSimilarity(scaled),
        "recorded": PoincareDistance(c=0.3, collect_stats=True),
    }
    found = {}
    for name, distance in kinds.items():
        mat = distance(rows)
        assert mat.shape == (len(rows), len(rows))
        torch.testing.assert_close(mat, distance(rows, rows.clone()))
        margins = {"pos_margin": 0.9, "neg_margin": 0.1 if distance.is_inverted else 7}
        mined = PairMarginMiner(distance=distance, **margins)(rows, labels)
        found[f"{name}_mat"] = mat.sum().item()
        found[f"{name}_mined"] = [len(index) for index in mined]
        margins = {"pos_margin": 1, "neg_margin": 0} if distance.is_inverted else {"neg_margin": 5}
        found[name] = trained(contrastive(distance=distance, **margins))
    recorded = kinds["recorded"]
    found["recorded_norms"] = [recorded.initial_avg_query_norm, recorded.final_avg_ref_norm]
    found["recorded_clipped"] = recorded.clipped_query_fraction
    pairs = recorded.pairwise_distance(rows[:3], rows[3:6])
    torch.testing.assert_close(pairs, recorded(rows[:3], rows[3:6]).diagonal())
    return found


def losses():
    from pytorch_metric_learning.losses import MultipleLosses
    from pytorch_metric_learning.reducers import MeanReducer

    from pml_hyperbolic.distances import PoincareDistance
    from pml_hyperbolic.functional import class_ancestors
    from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss, MultiLevelLoss

    distance = PoincareDistance(c=0.2)
    hier = {"num_proxies": 8, "num_neighbors": 5, "distance": distance}
    ancestors = class_ancestors(torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]]))

    def chest(**options):
        loss = CHESTLoss(CLASSES, 4, SIZE - 4, hierarchy_weight=0.5, **options)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for part in (loss.euclidean, loss.hyperbolic):
                part.proxies.copy_(torch.randn(part.proxies.shape, generator=generator))
        return loss

    torch.manual_seed(4)
    multiple = MultipleLosses(
        {"hyp": HypLoss(distance=distance), "hier": HIERLoss(SIZE, **hier)},
        weights={"hyp": 1.0, "hier": 0.5},
    )
    multi_level = MultiLevelLoss([contrastive(distance=distance) for _ in "ab"], ancestors)
    torch.manual_seed(4)
    found = {
        "hyp": trained(HypLoss(distance=distance)),
        "hyp_by_default": trained(HypLoss(reducer=MeanReducer())),
        "chest": trained(chest()),
        "chest_mined": trained(chest(), indices_tuple=triplets()),
        "chest_by_class": trained(chest(hierarchy_similarity="class")),
        "multi_level": trained(multi_level),
        "multiple": trained(multiple, lowers=False),
    }
    torch.manual_seed(4)
    found["hier"] = trained(HIERLoss(SIZE, **hier), lowers=False)
    recorded = chest(collect_stats=True)
    found["recorded_chest"] = trained(recorded)
    names = ("euclidean_loss", "hyperbolic_loss", "hierarchy_loss", "embedding_saturation")
    found["recorded_parts"] = [getattr(recorded, name) for name in names]
    assert recorded.get_logits(batch()[0], space="euclidean").shape == (CLASSES * 4, CLASSES)
    for loss in (HypLoss(), HIERLoss(SIZE, **hier), chest()):
        assert refuses_references(loss), f"{type(loss).__name__} took references"
    return found


def refuses_references(loss):
    rows, labels = batch()
    try:
        loss(rows, labels, ref_emb=rows + 1, ref_labels=labels)
    except ValueError as error:
        return "ref_emb" in str(error)
    return False


def triplets():
    """A miner's output: some rows count twice, others not at all."""
    return tuple(torch.tensor(rows) for rows in ([0, 1, 2], [4, 5, 6], [1, 2, 4]))


def regularizers():
    from pytorch_metric_learning.losses import SoftTripleLoss

    from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
    from pml_hyperbolic.regularizers import HIERRegularizer, HypHCRegularizer

    distance, similarity = PoincareDistance(c=0.2), PoincareSimilarity(c=0.2)
    hier = HIERRegularizer(SIZE, 8, num_neighbors=5, distance=distance)
    on_embeddings = contrastive(
        distance=distance, neg_margin=5, embedding_regularizer=hier, embedding_reg_weight=0.5
    )
    on_weights = SoftTripleLoss(
        CLASSES,
        SIZE,
        centers_per_class=2,
        distance=similarity,
        weight_regularizer=HypHCRegularizer(distance=similarity, num_triplets=50),
        weight_reg_weight=0.1,
    )
    alone = HypHCRegularizer()
    torch.manual_seed(5)
    rows = torch.randn(9, SIZE)
    few = rows[:2].clone().requires_grad_()
    alone(few).backward()
    assert few.grad.count_nonzero() == 0
    found = {"hier_regularizer": trained(on_embeddings, lowers=False), "hyphc": alone(rows).item()}
    trained(on_weights)  # The two generations draw its proxies in different orders.
    return found


def retrieval():
    from pml_hyperbolic.distances import PoincareDistance
    from pml_hyperbolic.utils import CosineKNN, PoincareKMeans, PoincareKNN

    rows, _ = batch()
    distance = PoincareDistance(c=0.2)
    found = {}
    for name, knn in (("poincare", PoincareKNN(distance)), ("cosine", CosineKNN())):
        values, indices = knn(rows, 3, rows, True)
        assert values.shape == indices.shape == (len(rows), 3)
        found[f"{name}_knn"] = indices.tolist()
    found["kmeans"] = PoincareKMeans(distance)(rows, 3).tolist()
    return found


def calculators():
    from pml_hyperbolic.distances import PoincareDistance
    from pml_hyperbolic.utils import (
        CosineAccuracyCalculator,
        EmbeddingSpace,
        EmbeddingSpacesCalculator,
        HyperbolicAccuracyCalculator,
    )

    rows, labels = batch()
    calculators = {
        "hyperbolic": HyperbolicAccuracyCalculator(PoincareDistance(c=0.2), recall_at=(1, 2, 4)),
        "euclidean": CosineAccuracyCalculator(recall_at=(1, 2, 4)),
    }
    shown = ("precision_at_1", "recall_at_1", "recall_at_2", "recall_at_4")
    found = {}
    for name, calculator in calculators.items():
        # The last class has one row, so that the row is a query without a match.
        scores = calculator.get_accuracy(rows[:13], torch.tensor([*labels[:12], CLASSES]))
        found[name] = [scores[metric] for metric in shown]
        references = calculator.get_accuracy(rows.double(), labels, rows.double() + 0.1, labels)
        searched = rows if name == "hyperbolic" else torch.nn.functional.normalize(rows)
        recalls = slow_recalls(calculator.knn_func, searched[:13], labels[:12], (1, 2, 4))
        assert found[name][1:] == recalls, (name, found[name], recalls)
        found[f"{name}_references"] = [references[metric] for metric in shown]
    spaces = {name: EmbeddingSpace((0, SIZE), own) for name, own in calculators.items()}
    both = EmbeddingSpacesCalculator(spaces).get_accuracy(rows, labels)
    found["spaces"] = [both[f"{name}_recall_at_2"] for name in spaces]
    return found


def slow_recalls(knn_func, rows, labels, values):
    """Recalls of the rows that have a label, with a search of all rows for each other."""
    neighbours = knn_func(rows, max(values), rows, True)[1].tolist()
    labels = labels.tolist()
    named = [*labels, None]
    return [
        sum(any(named[j] == own for j in neighbours[i][:k]) for i, own in enumerate(labels))
        / len(labels)
        for k in values
    ]


def saved_models():
    from pml_hyperbolic.embedder.embedder import Embedder
    from pml_hyperbolic.embedder.model_description import ModelDescription
    from pml_hyperbolic.embedder.preprocessing import Preprocessing
    from pml_hyperbolic.embedder.space_layout import SpaceLayout

    run = {
        "benchmark": "none",
        "method": {"name": "none"},
        "protocol": {"data": {}},
        "protocol_hash": "0",
        "fold": 0,
        "seed": 0,
        "epoch": 1,
    }
    description = ModelDescription(
        {"small_conv": {"width": 2}},
        "made up",
        SpaceLayout({"euclidean": 3, "hyperbolic": 2}, {"PoincareSimilarity": {"c": 0.2}}),
        Preprocessing(1, 0.5, 0.5, short_side=9, size=8),
        4,
        run,
        {"run": {}, "benchmark": []},
    )
    trunk, head = description.build()
    again = Embedder(trunk, head, description)
    images = torch.rand(5, 1, 9, 12)
    embeddings = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            again.save_pretrained(folder)
            again = Embedder.from_pretrained(folder, device="cpu")
        embeddings.append(again.embed(images, progress=False))
    embedded = embeddings[1]
    assert torch.equal(*embeddings)
    hyperbolic = embedded[:, again.spaces["hyperbolic"]]
    nearest = again.knn("hyperbolic")(hyperbolic, 2, hyperbolic)[1]
    assert nearest[:, 0].tolist() == list(range(5))
    return {"embedded": again.distance("euclidean")(embedded[:, :3]).shape[0]}


if __name__ == "__main__":
    main()
