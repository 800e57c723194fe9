"""What is contributed to PML computes what the package computes, and passes its own tests there."""

import ast
import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from pytorch_metric_learning import distances as pml_distances

from pml_hyperbolic import distances, losses, regularizers
from pml_hyperbolic.functional import hier, hyphc, lca_depth, to_poincare_ball
from pml_hyperbolic.functional.reciprocal_neighbors import reciprocal_neighbor_triplets
from pml_hyperbolic.utils import HyperbolicAccuracyCalculator
from pml_hyperbolic.utils.lifted_points import LiftedPoints
from pml_hyperbolic.utils.poincare_kmeans import lorentz_centroids
from pml_hyperbolic.utils.retrieval import PoincareKMeans, PoincareKNN
from tests.conftest import SMALL_GOLDEN_CASE, recorded_case

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# The geometry is computed in float32 whatever precision comes in; the package's gradients of close
# pairs agree with those of autograd to the square root of what their values do.
VALUE = {dtype: 1e-9 if dtype == torch.float64 else 3e-5 for dtype in DTYPES}
GRADIENT = {
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
    torch.float32: 1e-3,
    torch.float64: 1e-7,
}
CURVATURES = [1e-4, 0.1, 1.0]
DOCUMENTED = {
    "distances": {"PoincareDistance": "distances", "PoincareSimilarity": "distances"},
    "losses": {"HIERLoss": "losses", "HypLoss": "losses"},
    "regularizers": {"HIERRegularizer": "regularizers", "HypHCRegularizer": "regularizers"},
    "accuracy_calculation": {
        "HyperbolicAccuracyCalculator": "utils.hyperbolic_inference",
        "PoincareKMeans": "utils.hyperbolic_inference",
        "PoincareKNN": "utils.hyperbolic_inference",
    },
}


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    return request.param


def points(n, d, dtype, seed=0, radius=4.0):
    """(n, d) tangent vectors of all lengths up to ``radius``, beyond the usual clip radius too."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    lengths = radius * torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return (x / x.norm(dim=1, keepdim=True) * lengths).to(dtype)


def with_gradients(function, *tensors, seed=0):
    """The value, and the gradients of a random combination of its entries."""
    tensors = [t.detach().clone().requires_grad_() for t in tensors]
    value = function(*tensors)
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)
    return value.detach(), torch.autograd.grad((value * factors).sum(), tensors)


def assert_same(ours, theirs, dtype, *tensors):
    """Two functions agree in their values and gradients, relative to the largest gradient."""
    value, gradients = with_gradients(theirs, *tensors)
    expected, expected_gradients = with_gradients(ours, *tensors)
    assert value.dtype == expected.dtype
    torch.testing.assert_close(value, expected, rtol=VALUE[dtype], atol=VALUE[dtype])
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == wanted.dtype
        atol = GRADIENT[dtype] * float(wanted.abs().max())
        torch.testing.assert_close(gradient, wanted, rtol=GRADIENT[dtype], atol=atol)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("name", ["PoincareDistance", "PoincareSimilarity"])
def test_distances(upstream, name, c, dtype):
    for clip_radius in (0.5, 2.3):
        theirs = getattr(upstream("distances"), name)(c=c, clip_radius=clip_radius)
        ours = getattr(distances, name)(c=c, clip_radius=clip_radius)
        x, y = points(12, 5, dtype), points(9, 5, dtype, seed=1)
        assert theirs.is_inverted == ours.is_inverted
        assert_same(ours, theirs, dtype, x, y)
        assert_same(ours, theirs, dtype, x)
        assert_same(ours.pairwise_distance, theirs.pairwise_distance, dtype, x[:9], y)
        near = (y.double() + 0.01 * points(9, 5, torch.float64, seed=2)).to(dtype)
        assert_same(ours.pairwise_distance, theirs.pairwise_distance, dtype, near, y)


def test_defaults_and_points_of_the_ball(upstream, dtype):
    for name in ("PoincareDistance", "PoincareSimilarity"):
        theirs, ours = getattr(upstream("distances"), name)(), getattr(distances, name)()
        assert (theirs.c, theirs.clip_radius) == (ours.c, ours.clip_radius)
        assert_same(ours, theirs, dtype, points(12, 5, dtype))
        x = torch.cat([points(12, 5, dtype), torch.zeros(1, 5, dtype=dtype)])
        assert_same(ours.maybe_normalize, theirs.maybe_normalize, dtype, x)
    unclipped = upstream("distances").PoincareDistance(clip_radius=None)
    x = points(12, 5, dtype, radius=60)
    # So far out, a float32 distance is that of rounded points.
    torch.testing.assert_close(
        unclipped.maybe_normalize(x), to_poincare_ball(x, c=0.1), rtol=VALUE[dtype], atol=0
    )


def test_hyp_loss(upstream, dtype):
    labels = torch.arange(5).repeat(3)[
        torch.randperm(15, generator=torch.Generator().manual_seed(0))
    ]
    x = points(15, 6, dtype)
    assert_same(
        lambda x: losses.HypLoss()(x, labels),
        lambda x: upstream("losses").HypLoss()(x, labels),
        dtype,
        x,
    )
    theirs = upstream("losses").HypLoss().compute_loss(x, labels, None, x, labels)["loss"]
    ours = losses.HypLoss().compute_loss(x, labels, None, x, labels)["loss"]
    assert theirs["reduction_type"] == ours["reduction_type"]
    assert losses_of_pairs(theirs) == pytest.approx(losses_of_pairs(ours), rel=VALUE[dtype] * 10)


def losses_of_pairs(part):
    """(anchor, positive) -> loss, for what a loss hands to its reducer."""
    anchors, positives = (index.tolist() for index in part["indices"])
    return dict(zip(zip(anchors, positives, strict=True), part["losses"].tolist(), strict=True))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("dtype", DTYPES[2:], ids=str)
def test_hier_triplet_losses(upstream, monkeypatch, temperature, dtype):
    generator = torch.Generator().manual_seed(3)
    distances_to_proxies = 4 * torch.rand(20, 9, generator=generator, dtype=dtype)
    triplets = torch.stack([torch.randperm(20, generator=generator)[:3] for _ in range(200)], dim=1)
    noise = -torch.rand(2, 200, 9, generator=generator, dtype=dtype).log_().neg_().log_()
    use_noise(monkeypatch, noise)
    core = upstream("utils.hierarchical_proxies")
    assert_same(
        lambda d: hier.hierarchical_triplet_losses(
            d, triplets, margin=0.1, temperature=temperature, gumbel_noise=tuple(noise)
        ),
        lambda d: core.get_triplet_losses(d, tuple(triplets), 0.1, temperature),
        dtype,
        distances_to_proxies,
    )


def use_noise(monkeypatch, noise):
    """F.gumbel_softmax takes this Gumbel noise, in turn."""
    given = iter([*noise] * 10)

    def gumbel_softmax(logits, hard):
        assert hard
        soft = torch.softmax(logits + next(given), dim=1)
        one_hot = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1)
        return one_hot - soft.detach() + soft

    monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", gumbel_softmax)


def test_hier_as_recorded_from_its_authors(upstream, monkeypatch):
    case = recorded_case(SMALL_GOLDEN_CASE)
    distance = upstream("distances").PoincareDistance(c=case["c"], clip_radius=case["clip_radius"])
    core = upstream("utils.hierarchical_proxies")
    parts = {"data": case["embeddings"], "proxy": case["proxies"]}
    for part, vectors in parts.items():
        use_noise(monkeypatch, [case[f"noise_{part}_ij"], case[f"noise_{part}_ijk"]])
        to_proxies = distance(vectors, case["proxies"])
        triplets = tuple(case[f"triplets_{part}"])
        found = core.get_triplet_losses(to_proxies, triplets, case["margin"], case["temperature"])
        # That code adds 1e-5 to two denominators.
        assert float(found.mean()) == pytest.approx(case[f"loss_{part}"], rel=2e-4)


def test_hier_draws_from_the_same_candidates(upstream):
    x = points(16, 4, torch.float32, radius=2)
    relevance = torch.exp(-distances.PoincareDistance()(x))
    relevance += (torch.arange(16) // 4).unsqueeze(1) == torch.arange(16) // 4
    core = upstream("utils.hierarchical_proxies")
    for k in (1, 4, 6, 16, 20):
        torch.manual_seed(0)
        theirs = torch.stack(core.get_reciprocal_triplets(relevance, k, 400))
        ours = reciprocal_neighbor_triplets(relevance, k=k, triplets_per_anchor=400)
        for rows in ([0, 1], [0, 2]):
            assert pairs_of(theirs[rows]) == pairs_of(ours[rows])
        assert torch.equal(theirs[0], ours[0])


def pairs_of(rows):
    return set(map(tuple, rows.T.tolist()))


@pytest.mark.parametrize("name", ["HIERLoss", "HIERRegularizer"])
def test_hier_has_the_same_mean(upstream, name):
    """Averaged over draws, both parts agree with the package's within five standard errors."""
    room = "losses" if name == "HIERLoss" else "regularizers"
    counts = {"num_proxies": 12, "num_neighbors": 7}
    ours = getattr(losses if name == "HIERLoss" else regularizers, name)(6, **counts)
    theirs = getattr(upstream(room), name)(6, **counts)
    theirs.proxies = ours.proxies
    arguments = [points(20, 6, torch.float32)]
    if name == "HIERLoss":
        arguments.append(torch.arange(20) // 4)
    for part in (None, "data_loss", "proxy_loss"):
        values = []
        for module in (ours, theirs):
            torch.manual_seed(0)
            values.append(np.array([value_of(module, part, arguments) for _ in range(40)]))
        error = np.sqrt(sum(v.var(ddof=1) / len(v) for v in values))
        assert abs(values[0].mean() - values[1].mean()) < 5 * error
        assert error < 0.05 * values[0].mean()


def value_of(module, part, arguments):
    """The loss of one draw, or one part of it."""
    with torch.no_grad():
        if part is None:
            return float(module(*arguments))
        if len(arguments) == 1:
            return float(module.compute_loss(*arguments)[part]["losses"].mean())
        x, labels = arguments
        return float(module.compute_loss(x, labels, None, x, labels)[part]["losses"].mean())


def test_hier_starts_where_the_package_does(upstream):
    for name, kwargs in [("PoincareDistance", {"clip_radius": 1.0}), ("LpDistance", {"power": 2})]:
        theirs = upstream("losses").HIERLoss(
            64, 512, distance=getattr(upstream("distances"), name)(**kwargs)
        )
        kind = getattr(distances, name, None) or getattr(pml_distances, name)
        ours = losses.HIERLoss(64, 512, distance=kind(**kwargs))
        spreads = [float(module.proxies.detach().norm(dim=1).mean()) for module in (theirs, ours)]
        assert spreads[0] == pytest.approx(spreads[1], rel=0.02)


@pytest.mark.parametrize("c", [0.1, 1.0])
def test_hyphc(upstream, monkeypatch, c, dtype):
    x = points(10, 4, dtype, radius=3)
    theirs = upstream("regularizers").HypHCRegularizer(
        num_triplets=100, distance=upstream("distances").PoincareDistance(c=c)
    )
    torch.manual_seed(0)
    triplets = torch.stack(theirs.get_triplets(len(x), x.device))
    monkeypatch.setattr(theirs, "get_triplets", lambda n, device: tuple(triplets))

    def ours(x):
        corners = x[triplets.T.flatten()].unflatten(0, (-1, 3))
        return hyphc.hyphc_loss_of_tangents(
            corners, None, c=c, clip_radius=2.3, temperature=theirs.temperature
        )

    assert_same(ours, theirs, dtype, x)
    ball = distances.PoincareDistance(c=c).to_ball(x.double())
    i, j, _ = triplets
    torch.testing.assert_close(
        theirs.lca_depth(x[i], x[j]), lca_depth(ball[i], ball[j], c=c), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", ["PoincareDistance", "PoincareSimilarity"])
def test_knn(upstream, name, dtype):
    x, y = points(30, 4, dtype), points(50, 4, dtype, seed=1)
    their_distance, our_distance = (
        getattr(upstream("distances"), name)(),
        getattr(distances, name)(),
    )
    theirs = upstream("utils.hyperbolic_inference").PoincareKNN(their_distance, batch_size=11)
    ours = PoincareKNN(our_distance)
    for arguments in [(x, 5, y, False), (y, 3, y, True), (y[:7], 50, y, False)]:
        values, indices = theirs(*arguments)
        expected_values, expected = ours(*arguments)
        assert torch.equal(indices, expected)
        values = (
            our_distance.clip_radius * 2 * (1 - values) if their_distance.is_inverted else values
        )
        torch.testing.assert_close(
            values.to(expected_values), expected_values, rtol=1e-5, atol=1e-7
        )


def test_kmeans(upstream):
    module = upstream("utils.hyperbolic_inference")
    x = points(60, 4, torch.float64)
    labels = torch.arange(60) % 5
    theirs = module.PoincareKMeans(upstream("distances").PoincareDistance())
    mapped = theirs.distance.maybe_normalize(x)
    lifted = LiftedPoints(x, distances.PoincareDistance())
    torch.testing.assert_close(
        theirs.get_centroids(mapped, labels, mapped[:5]),
        lorentz_centroids(lifted, labels, torch.zeros(60, dtype=torch.float64), 5),
    )
    # Clusters that are far apart are found by both.
    x = points(60, 4, torch.float64, radius=0.1) + 2 * torch.eye(4).repeat(15, 1)
    for found in (theirs(x, 4), PoincareKMeans(distances.PoincareDistance())(x, 4)):
        same = found.unsqueeze(1) == found
        assert torch.equal(same, torch.eye(4, dtype=torch.bool).repeat(15, 15))


def test_accuracy_calculator(upstream):
    x, labels = points(80, 4, torch.float32), torch.arange(80) % 8
    device = torch.device("cpu")
    kwargs = {"exclude": ("NMI", "AMI"), "k": "max_bin_count", "device": device}
    theirs = upstream("utils.hyperbolic_inference").HyperbolicAccuracyCalculator(
        upstream("distances").PoincareDistance(), **kwargs
    )
    found = theirs.get_accuracy(x, labels)
    ours = HyperbolicAccuracyCalculator(distances.PoincareDistance(), **kwargs)
    expected = ours.get_accuracy(x, labels)
    assert found == {name: pytest.approx(expected[name]) for name in found}
    assert len(found) == 5


@pytest.mark.parametrize("page", DOCUMENTED)
def test_documented_signatures_are_those_of_the_code(exported, upstream, page):
    text = (exported / "docs" / f"{page}.md").read_text()
    for name, module in DOCUMENTED[page].items():
        (section,) = re.findall(
            rf"^###? {name}\n(.*?)(?=^###? |\Z)", text, re.DOTALL | re.MULTILINE
        )
        (block,) = re.findall(rf"```python\n([^`]*?\b{name}\([^`]*?)```", section)[:1]
        call = ast.parse(block).body[-1].value
        parameters = inspect.signature(getattr(upstream(module), name)).parameters
        wanted = [ast.unparse(argument) for argument in call.args]
        wanted += [
            f"{k.arg}={ast.unparse(k.value)}" if k.arg else f"**{k.value.id}" for k in call.keywords
        ]
        assert [str(parameter).replace(" ", "") for parameter in parameters.values()] == [
            argument.replace(" ", "") for argument in wanted
        ]
        for parameter in parameters:
            described = f"* **{parameter}**: " in section or "See [" in section
            assert described or parameter == "kwargs", (name, parameter)
        assert f"#{name.lower()})" in (exported / "CONTENTS.md").read_text()


@pytest.mark.long
def test_contributed_tests_pass_in_the_checkout(exported):
    added = subprocess.run(
        ["git", "-C", str(exported), "diff", "--name-only", "before-export", "--", "tests"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    modules = [path.removesuffix(".py").replace("/", ".") for path in added]
    assert len(modules) == 6
    done = subprocess.run(
        [sys.executable, "-m", "unittest", *modules],
        cwd=exported,
        env={
            **os.environ,
            "PYTHONPATH": str(exported / "src"),
            "TEST_DEVICE": "cpu",
            "TEST_DTYPES": "float16,float32,float64",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(re.search(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)[1]) >= 39
